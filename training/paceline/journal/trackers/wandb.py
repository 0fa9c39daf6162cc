"""Weights & Biases; where it sends to is its own environment's (WANDB_PROJECT, WANDB_MODE, ...)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paceline.journal.trackers.base import Tracker, library


class WandbTracker(Tracker):
    """One wandb run per paceline run: going on means to go on there too."""

    def __init__(self) -> None:
        self._wandb: Any = library("wandb")
        self._run: Any = None

    def start(self, run: str, config: Mapping[str, Any], directory: Path) -> None:
        self._run = self._wandb.init(id=run, name=run, config=dict(config), dir=str(directory), resume="allow")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def text(self, step: int, message: str) -> None:
        self._run.log({"journal": self._wandb.Html(message)}, step=step)

    def artifact(self, path: Path) -> None:
        self._run.log_artifact(str(path), name=path.name)

    def finish(self) -> None:
        self._run.finish()
