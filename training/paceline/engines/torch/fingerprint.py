"""Fingerprints of tensors: 64-bit sums of their bits, on the device and without waiting for it.

The words of a tensor are added up modulo 2**64 (2**32 where it does not consist of whole 64-bit words), so a change of
any one word changes the sum; each tensor then counts with a weight of its own. It reads memory once, at its full speed.
A sum is no hash against intent: words that change places within a tensor leave it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from paceline.engines.objectives.base import Terms

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio; odd multiples of it spread over all bits (Knuth, 6.4)


def fingerprint(tensors: Sequence[Tensor]) -> Tensor:
    """One int64 scalar over all of `tensors`, whose order matters."""
    sums = torch.stack([_sum(tensor) for tensor in tensors])
    return (sums * _weights(len(sums), sums.device)).sum()


def _sum(tensor: Tensor) -> Tensor:
    flat = tensor.detach().contiguous().view(-1)
    if flat.numel() == 0:
        return torch.zeros((), dtype=torch.int64, device=flat.device)
    narrow = _INTEGERS[flat.element_size()]
    bytes_before, size = flat.storage_offset() * flat.element_size(), flat.numel() * flat.element_size()
    aligned = bytes_before % 8 == 0 and size % 8 == 0
    words = flat.view(torch.int64) if aligned else flat.view(narrow)
    dtype = torch.int64 if aligned or flat.element_size() < 4 else torch.int32  # converting costs more than reading
    return words.sum(dtype=dtype).to(torch.int64)


@cache
def _weights(count: int, device: torch.device) -> Tensor:
    """Different odd numbers, as int64."""
    words = [(2 * index + 1) * _GOLDEN % 2**64 for index in range(count)]
    return torch.tensor([word - 2**64 if word >= 2**63 else word for word in words], dtype=torch.int64, device=device)


class GradientTrace:
    """Fingerprints the gradients of a model's parameters as backward computes them: whole, and of this rank alone.

    While it is entered, every parameter that a module uses reports what arrives at it. FSDP has put the gathered
    parameters into the modules when their forward begins, and sums gradients over ranks only after this.
    """

    def __init__(self, models: Sequence[nn.Module], device: torch.device) -> None:
        self._owners = [module for model in models for module in model.modules() if module._parameters]
        self._total = torch.zeros((), dtype=torch.int64, device=device)
        self._handles: list[RemovableHandle] = []
        self._seen: dict[int, Tensor] = {}

    def run(self, passes: Callable[[], Terms]) -> tuple[Terms, Tensor]:
        """What `passes` returns; and the fingerprint of its loss together with all gradients."""
        self._total.zero_()
        try:
            for place, module in enumerate(self._owners):
                self._handles.append(module.register_forward_pre_hook(self._listen(place)))
            terms = passes()
        finally:
            for handle in self._handles:
                handle.remove()
            self._handles.clear()
            self._seen.clear()
        return terms, self._total + _sum(terms.loss)

    def _listen(self, place: int) -> Callable[[nn.Module, object], None]:
        def hook(module: nn.Module, inputs: object) -> None:
            for number, parameter in enumerate(module._parameters.values()):
                # once for all passes, and for layers that run again in backward
                if parameter is not None and parameter.requires_grad and id(parameter) not in self._seen:
                    self._seen[id(parameter)] = parameter
                    weight = ((place << 8 | number) << 1 | 1) * _GOLDEN % 2**63
                    self._handles.append(parameter.register_hook(partial(self._add, weight)))  # type: ignore[no-untyped-call]

        return hook

    def _add(self, weight: int, gradient: Tensor) -> None:
        self._total += _sum(gradient) * weight
