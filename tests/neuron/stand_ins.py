"""Lets the genuine source of NeuronX Distributed be imported on a machine without a Neuron device.

What it imports of compiler, runtime and kernels is answered by mocks, which nothing here calls; torch-xla is the CPU
surface beside this file. Values of enumerations that are looked up at import are real.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
import types
from collections.abc import Sequence
from typing import Any
from unittest.mock import MagicMock

import torch

_MOCKED = ("torch_neuronx", "neuronxcc", "libneuronxla", "nki", "nkilib", "neuronx_hwm")


class _Mocked(types.ModuleType):
    """A module that has every name."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = MagicMock(name=f"{self.__name__}.{name}")
        setattr(self, name, value)
        return value


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the mocked packages, and those modules of torch-xla that the surface does not have."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> Any:
        if fullname.split(".")[0] in (*_MOCKED, "torch_xla"):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Mocked(spec.name)

    def exec_module(self, module: types.ModuleType) -> None: ...


class _Namespace:
    def __getattr__(self, name: str) -> Any:
        return type(name, (), {})


def install() -> None:
    """Before anything of `neuronx_distributed` is imported."""
    sys.meta_path.append(_Finder())  # last: what the surface has comes first
    os.environ.setdefault("HOST_WORLD_SIZE", "1")
    import torch_neuronx.utils

    torch_neuronx.utils.get_platform_target = lambda: "trn2"
    torch.classes.neuron = _Namespace()
