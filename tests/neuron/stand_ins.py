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
from typing import Any, ClassVar
from unittest.mock import MagicMock

import torch

# `transformers.utils.fx` went with transformers 5; only tracing, which the engine leaves alone, needs it
_MOCKED = (
    "torch_neuronx",
    "neuronxcc",
    "libneuronxla",
    "nki",
    "nkilib",
    "neuronx_hwm",
    "torch_xla",
    "transformers.utils.fx",
    "tenacity",  # of its checkpoint storage
)


class _Mocked(types.ModuleType):
    """A module that has every name."""

    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = MagicMock(name=f"{self.__name__}.{name}")
        setattr(self, name, value)
        return value


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the mocked packages, and those modules of torch-xla that the surface does not have."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> Any:
        if any(f"{fullname}.".startswith(f"{name}.") for name in _MOCKED):
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
    import transformers.utils.fx

    transformers.utils.fx.HFTracer = type("HFTracer", (), {})
    torch_neuronx.utils.get_platform_target = lambda: "trn2"
    torch.classes.neuron = _Namespace()


def complete_cpu_mode() -> None:
    """Two things that its CPU mode lacks and a Neuron device has.

    ZeRO-1's norm sums over lists of ranks, where its gloo takes process groups only. And its products view
    tensors in another shape; those of torch-xla have no strides that forbid it.
    """
    from neuronx_distributed.parallel_layers import grads, layers, layers_utils
    from torch_xla.core import xla_model

    by_group = grads.all_reduce

    def all_reduce(reduce_type: str, inputs: Any, groups: Any = None, **others: Any) -> Any:
        if isinstance(groups, list):
            return xla_model.all_reduce(reduce_type, inputs, groups=groups)
        return by_group(reduce_type, inputs, groups=groups, **others)

    grads.all_reduce = all_reduce

    gathered = layers_utils._gather_along_dim
    layers_utils._gather_along_dim = lambda *args, **kwargs: gathered(*args, **kwargs).contiguous()

    backward = layers.LinearWithAsyncCommunication.backward
    layers.LinearWithAsyncCommunication.backward = staticmethod(
        lambda ctx, gradient: backward(ctx, gradient.contiguous())
    )
