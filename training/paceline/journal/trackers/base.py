"""What an experiment tracker must be able to do. One file per tracker beside this one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from paceline.spec.errors import LaunchError


class Tracker(Protocol):
    """Five methods, called in one process in the order of events; steps never go back."""

    def start(self, run: str, config: Mapping[str, Any], directory: Path) -> None:
        """A run begins, or goes on. `directory` is the run's."""
        ...

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Values after `step` steps, by names such as `loss` and `tokens_per_second`."""
        ...

    def text(self, step: int, message: str) -> None:
        """Something that a person wants to read beside the curves: a fault, a new generation."""
        ...

    def artifact(self, path: Path) -> None:
        """A file of the run that belongs to it."""
        ...

    def finish(self) -> None:
        """The run is over, or this part of it."""
        ...


def library(name: str) -> Any:
    """The module of a tracker's library; LaunchError if it is not installed."""
    try:
        return import_module(name)
    except ImportError as cause:
        package = name.partition(".")[0]
        raise LaunchError(f"--track {package}: {cause}", f"pip install {package}, or leave it out") from cause
