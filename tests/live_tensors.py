"""The bytes of tensors that are alive, by the storages that operations made."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

_LARGE = 1 << 20  # only where so much is made a peak is looked for: looking takes time


class LiveTensors(TorchDispatchMode):
    """While it is entered, notes every storage that an operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[int, StorageWeakRef] = {}
        self.peak = 0

    def bytes(self) -> int:
        """Of those that are still there."""
        self._made = {key: made for key, made in self._made.items() if not made.expired()}
        found = (torch.UntypedStorage._new_with_weak_ptr(made.cdata) for made in self._made.values())
        return sum(storage.nbytes() for storage in found if storage is not None)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {t.untyped_storage()._cdata for t in tree_iter((args, kwargs)) if isinstance(t, Tensor)}
        result = function(*args, **(kwargs or {}))
        large = False
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in given:
                self._made[tensor.untyped_storage()._cdata] = StorageWeakRef(tensor.untyped_storage())
                large = large or tensor.untyped_storage().nbytes() >= _LARGE
        if large:
            self.peak = max(self.peak, self.bytes())
        return result
