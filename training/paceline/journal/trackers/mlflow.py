"""MLflow; where it sends to is its own environment's (MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME, ...)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paceline.journal.trackers.base import Tracker, library


class MlflowTracker(Tracker):
    """One MLflow run for each time that a paceline run is started."""

    def __init__(self) -> None:
        self._mlflow: Any = library("mlflow")

    def start(self, run: str, config: Mapping[str, Any], directory: Path) -> None:
        self._mlflow.start_run(run_name=run)
        self._mlflow.log_text(json.dumps(config, indent=1), "recipe.json")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._mlflow.log_metrics(dict(values), step=step)

    def text(self, step: int, message: str) -> None:
        self._mlflow.log_text(message, f"journal/{step:08d}.txt")

    def artifact(self, path: Path) -> None:
        self._mlflow.log_artifact(str(path))

    def finish(self) -> None:
        self._mlflow.end_run()
