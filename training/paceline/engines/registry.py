"""The engines, one line each; an engine's libraries are imported when it is created."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from paceline.engines.base import Engine

ENGINES: Mapping[str, str] = {
    "torch": "paceline.engines.torch.engine:TorchEngine",
}


def create(name: str) -> Engine:
    """A new engine of kind `name`, one of `ENGINES`."""
    module, _, attribute = ENGINES[name].partition(":")
    return cast(Engine, getattr(import_module(module), attribute)())
