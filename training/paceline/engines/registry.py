"""The engines, one line each; an engine's libraries are imported when it is created."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from paceline.engines.base import Engine
from paceline.recipe.engines import require
from paceline.spec.errors import LaunchError

ENGINES: Mapping[str, str] = {
    "nxd": "paceline.engines.nxd.engine:NxdEngine",
    "torch": "paceline.engines.torch.engine:TorchEngine",
    "deepspeed": "paceline.engines.deepspeed.engine:DeepSpeedEngine",
}


def check(name: str) -> None:
    """LaunchError when this installation lacks the engine `name`, or what it imports. Imports none of it."""
    require(name)
    if name not in ENGINES:
        raise LaunchError(f"engine {name}: this version of paceline has none", f"set engine to {' or '.join(ENGINES)}")


def preload(name: str) -> None:
    """Import the engine's module now, if that can be done in a process that is to be forked; otherwise nothing.

    PyTorch's import starts no thread and touches no device. DeepSpeed's asks for accelerators, which must not be asked
    before a fork; of NeuronX Distributed's nobody says.
    """
    if name == "torch":
        import_module(ENGINES[name].partition(":")[0])


def create(name: str) -> Engine:
    """A new engine of kind `name`; LaunchError as `check` has it."""
    check(name)
    module, _, attribute = ENGINES[name].partition(":")
    return cast(Engine, getattr(import_module(module), attribute)())
