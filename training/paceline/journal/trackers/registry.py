"""The trackers, one line each; a tracker's library is imported when it is created."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from paceline.journal.trackers.base import Tracker
from paceline.spec.documents import nearest
from paceline.spec.errors import LaunchError

TRACKERS: Mapping[str, str] = {
    "mlflow": "paceline.journal.trackers.mlflow:MlflowTracker",
    "tensorboard": "paceline.journal.trackers.tensorboard:TensorBoardTracker",
    "trackio": "paceline.journal.trackers.trackio:TrackioTracker",
    "wandb": "paceline.journal.trackers.wandb:WandbTracker",
}


def create(name: str) -> Tracker:
    """A new tracker, one of TRACKERS; LaunchError for another name or a library that is not installed."""
    if name not in TRACKERS:
        raise LaunchError(f"--track {name}: there is no such tracker", nearest(name, list(TRACKERS)))
    module, _, attribute = TRACKERS[name].partition(":")
    return cast(Tracker, getattr(import_module(module), attribute)())
