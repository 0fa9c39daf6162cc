"""AdamW with moments of 8 bits per element ("8-bit Optimizers via Block-wise Quantization": Dettmers et al., 2022).

A row is cut into blocks, each with a scale, its largest absolute value; an element is the nearest of 256 numbers times
the scale. Blocks do not cross rows, so that whatever ranks share the rows, the codes are the same and a checkpoint fits
every world: what torchao keeps, flat blocks of a rank's shard, does not.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paceline.plan.memory import QUANTISED_BLOCK as BLOCK


class ShardedAdamW8bit:
    """Updates `locals_`, the local blocks of matrices, of which each holds whole rows."""

    def __init__(
        self,
        locals_: Mapping[str, nn.Parameter],
        *,
        betas: tuple[float, float],
        epsilon: float,
        weight_decay: float,
    ) -> None:
        self._locals = locals_
        self._betas = betas
        self._epsilon = epsilon
        self._weight_decay = weight_decay
        self._moments = {
            name: (Quantised(parameter, code_book(signed=True)), Quantised(parameter, code_book(signed=False)))
            for name, parameter in locals_.items()
        }
        self._steps = {name: torch.zeros((), device=parameter.device) for name, parameter in locals_.items()}

    @property
    def state(self) -> dict[str, dict[str, Tensor]]:
        """By kind and parameter; live."""
        return {
            "exp_avg_codes": {name: first.codes for name, (first, _) in self._moments.items()},
            "exp_avg_scales": {name: first.scales for name, (first, _) in self._moments.items()},
            "exp_avg_sq_codes": {name: second.codes for name, (_, second) in self._moments.items()},
            "exp_avg_sq_scales": {name: second.scales for name, (_, second) in self._moments.items()},
            "step": self._steps,
        }

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """One update from the gradients of the local blocks, as torch.optim.AdamW makes it."""
        for name, parameter in self._locals.items():
            gradient = parameter.grad
            assert gradient is not None
            first, second = self._moments[name]
            step = self._steps[name].add_(1)
            mean = first.values().lerp_(gradient, 1 - self._betas[0])
            square = second.values().lerp_(gradient.square(), 1 - self._betas[1])
            first.set(mean)
            second.set(square)
            deviation = (square / (1 - self._betas[1] ** step)).sqrt_().add_(self._epsilon)
            parameter.mul_(1 - learning_rate * self._weight_decay)
            parameter.sub_(mean / (1 - self._betas[0] ** step) / deviation * learning_rate)


class Quantised:
    """A float32 tensor [..., columns] like another one, at first zero: `codes` [..., columns] are places in `book`,
    `scales` [..., ceil(columns / BLOCK)] what a block's numbers are multiplied by."""

    def __init__(self, like: Tensor, book: Tensor) -> None:
        self._book = book.to(like.device)
        self._between = (self._book[1:] + self._book[:-1]) / 2
        zero = int(torch.searchsorted(book, 0.0))
        self.codes = torch.full_like(like, zero, dtype=torch.uint8, requires_grad=False)
        columns = like.shape[-1]
        self.scales = torch.zeros(*like.shape[:-1], -(-columns // BLOCK), device=like.device)

    def values(self) -> Tensor:
        """What is kept, in float32."""
        return self._book[self.codes.int()] * self._by_element(self.scales)

    def set(self, values: Tensor) -> None:
        """Keep `values`, each rounded to the nearest number of its block."""
        padding = self.scales.shape[-1] * BLOCK - values.shape[-1]
        blocks = F.pad(values, (0, padding)).view(*self.scales.shape, BLOCK)
        self.scales.copy_(blocks.abs().amax(dim=-1))
        relative = values / self._by_element(self.scales).clamp(min=torch.finfo(torch.float32).tiny)
        self.codes.copy_(torch.bucketize(relative, self._between))

    def _by_element(self, scales: Tensor) -> Tensor:
        return scales.repeat_interleave(BLOCK, dim=-1)[..., : self.codes.shape[-1]]


def code_book(*, signed: bool) -> Tensor:
    """The 256 numbers of "dynamic tree quantization" (Dettmers, 2016; Dettmers et al., 2022, section 1.3), ascending.

    In each of seven powers of ten, from 1e-6 to 1, twice as many as in the one before it; and zero and one.
    """
    found = [torch.tensor([0.0, 1.0], dtype=torch.float64)]
    for exponent in range(7):
        borders = torch.linspace(0.1, 1, 2 ** (exponent if signed else exponent + 1) + 1, dtype=torch.float64)
        numbers = 10.0 ** (exponent - 6) * (borders[1:] + borders[:-1]) / 2
        found += [numbers, -numbers] if signed else [numbers]
    return torch.cat(found).sort().values.float()
