"""Whether this machine can do what a run asks of it: asked before anything is started."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from paceline.recipe.engines import require
from paceline.recipe.schema import Recipe
from paceline.spec.errors import LaunchError

# What the driver of an accelerator makes where there is one.
_DEVICES: Mapping[str, str] = {"gpu": "dev/nvidiactl", "trainium": "dev/neuron0"}


def check(recipe: Recipe, root: Path = Path("/")) -> None:
    """LaunchError when the recipe's accelerator or its engine is not here."""
    device = _DEVICES.get(recipe.accelerator or "")
    if device is not None and not (root / device).exists():
        raise LaunchError(
            f"accelerator {recipe.accelerator}: this machine has none (there is no {root / device})",
            "train on what it has: --set accelerator=cpu",
        )
    require(recipe.engine)


def check_borrower(command: tuple[str, ...]) -> None:
    """LaunchError when what spares are to work at is no command here."""
    if shutil.which(command[0]) is None:
        raise LaunchError(
            f"--lend {command[0]}: there is no such command on this machine",
            "give one that is on the PATH, or its path; nothing is read by a shell, so an alias or a pipe is none",
        )
