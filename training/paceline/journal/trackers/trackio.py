"""trackio, the tracker that keeps its runs in a local database; its project is `paceline`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paceline.journal.trackers.base import Tracker, library


class TrackioTracker(Tracker):
    """One trackio run per paceline run."""

    def __init__(self) -> None:
        self._trackio: Any = library("trackio")

    def start(self, run: str, config: Mapping[str, Any], directory: Path) -> None:
        self._trackio.init(project="paceline", name=run, config=dict(config), resume="allow")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._trackio.log(dict(values), step=step)

    def text(self, step: int, message: str) -> None:
        self._trackio.log({"journal": message}, step=step)

    def artifact(self, path: Path) -> None:
        """Nothing: trackio keeps metrics."""

    def finish(self) -> None:
        self._trackio.finish()
