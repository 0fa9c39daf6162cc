"""Ring attention (Liu et al., 2023): every rank keeps its queries, and keys and values go round.

While a rank attends to what it has, the next part is on its way. Backward, the gradients of keys and values travel
with them and are at home after a full turn. Shapes as in `blocks`; a rank's positions are two pieces of a sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from paceline.engines.torch import blocks
from paceline.engines.torch.mesh import Axis
from paceline.models.kernels import visible


@dataclass(frozen=True, kw_only=True, slots=True)
class Ring:
    """Ranks of `axis`, the r-th of which has pieces r and 2n - 1 - r of `piece` positions each; see `Attention`."""

    axis: Axis
    piece: int
    window: int | None

    def pieces(self, rank: int) -> tuple[int, int]:
        return rank, 2 * self.axis.size - 1 - rank

    def source(self, turn: int) -> int:
        """Whose keys and values are here in this turn."""
        return (self.axis.rank - turn) % self.axis.size

    def pairs(self, turn: int, device: torch.device) -> Iterator[tuple[slice, slice, blocks.Seen]]:
        """Which of the own queries see which of the keys that are here, and what of them.

        Of one piece of queries the newest keys come first: they see at least themselves.
        """
        for number, own in enumerate(self.pieces(self.axis.rank)):
            for other_number, other in reversed(list(enumerate(self.pieces(self.source(turn))))):
                seen = self._seen(own, other, device)
                if seen is not None:
                    yield self._slice(number), self._slice(other_number), seen

    def _slice(self, number: int) -> slice:
        return slice(number * self.piece, (number + 1) * self.piece)

    def _seen(self, own: int, other: int, device: torch.device) -> blocks.Seen | None:
        nearest, farthest = (own - other - 1) * self.piece + 1, (own - other + 1) * self.piece - 1
        if other > own or (self.window is not None and nearest >= self.window):
            return None
        if self.window is None or farthest < self.window:
            return "causal" if own == other else "all"
        at = torch.arange(self.piece, device=device)
        return visible((own - other) * self.piece + at[:, None], at, self.window)


def ring_attention(query: Tensor, key: Tensor, value: Tensor, ring: Ring) -> Tensor:
    """[B, H, S, D] and twice [B, H / n, S, D], this rank's positions each -> [B, H, S, D]."""
    attended: Tensor = _RingAttention.apply(query, torch.stack((key, value)), ring)  # type: ignore[no-untyped-call]
    return attended


class _RingAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, pair: Tensor, ring: Ring) -> Tensor:
        output = torch.zeros_like(query, dtype=torch.float32)
        log_sums = torch.full(query.shape[:-1], -torch.inf, dtype=torch.float32, device=query.device)
        travelling, groups = pair, query.shape[1] // pair.shape[2]
        for turn in range(ring.axis.size):
            arriving = _Transfer(travelling, ring.axis) if turn < ring.axis.size - 1 else None
            for mine, theirs, seen in ring.pairs(turn, query.device):
                key, value = travelling[:, :, :, theirs].repeat_interleave(groups, dim=2)
                more = blocks.forward(query[:, :, mine], key, value, seen)
                joined = blocks.join(output[:, :, mine], log_sums[:, :, mine], *more)
                output[:, :, mine], log_sums[:, :, mine] = joined
            travelling = arriving.result() if arriving else travelling
        output = output.to(query.dtype)
        ctx.save_for_backward(query, pair, output, log_sums)
        ctx.ring = ring
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        query, pair, output, log_sums = ctx.saved_tensors
        ring: Ring = ctx.ring
        of_query = torch.zeros_like(query, dtype=torch.float32)
        of_pair = torch.zeros_like(pair, dtype=torch.float32)
        travelling, groups = pair, query.shape[1] // pair.shape[2]
        for turn in range(ring.axis.size):
            arriving = _Transfer(travelling, ring.axis) if turn < ring.axis.size - 1 else None
            here = torch.zeros_like(of_pair)
            for mine, theirs, seen in ring.pairs(turn, query.device):
                key, value = travelling[:, :, :, theirs].repeat_interleave(groups, dim=2)
                known, asked, made, sums = (t[:, :, mine] for t in (gradient, query, output, log_sums))
                more, *of_both = blocks.backward(known, asked, key, value, made, sums, seen)
                of_query[:, :, mine] += more
                by_group = torch.stack(of_both).view(*pair.shape[:3], groups, ring.piece, -1)
                here[:, :, :, theirs] += by_group.sum(dim=3)
            of_pair = _Transfer(of_pair, ring.axis).result() + here if turn else here
            travelling = arriving.result() if arriving else travelling
        of_pair = _Transfer(of_pair, ring.axis).result()
        return of_query.to(query.dtype), of_pair.to(pair.dtype), None


class _Transfer:
    """On its way: a tensor to the next rank of `axis`, and one like it from the rank before."""

    def __init__(self, tensor: Tensor, axis: Axis) -> None:
        assert axis.group is not None
        self._sent, self._received = (
            tensor.contiguous(),
            torch.empty_like(tensor, memory_format=torch.contiguous_format),
        )
        after, before = ((axis.rank + step) % axis.size for step in (1, -1))
        self._works = dist.batch_isend_irecv(
            [
                dist.P2POp(dist.isend, self._sent, dist.get_global_rank(axis.group, after), axis.group),
                dist.P2POp(dist.irecv, self._received, dist.get_global_rank(axis.group, before), axis.group),
            ]
        )

    def result(self) -> Tensor:
        for work in self._works:
            work.wait()
        return self._received
