"""A rank's testimony about its own state and work, for the corruption sentinel (paceline/engines/watch.py).

Between two updates nothing may write into parameters and optimizer state. So their fingerprint right after one update
must be the same right before the next: who finds another one has memory that changed by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from paceline.engines.objectives.base import Terms
from paceline.engines.torch.fingerprint import GradientTrace, fingerprint
from paceline.engines.watch import WORDS


class Witness:
    """Watches the live tensors `state` of a rank and the passes through its `models`."""

    def __init__(self, state: Sequence[Tensor], models: Sequence[nn.Module], device: torch.device) -> None:
        self._state = state
        self._device = device
        self._trace = GradientTrace(models, device)
        self._sealed: Tensor | None = None

    def seal(self) -> None:
        """Remember the state as it is now."""
        self._sealed = self._now()

    def altered(self) -> Tensor:
        """Whether the state is not as it was sealed, a boolean scalar."""
        return self._now() != self._seal

    def trace(self, passes: Callable[[], Terms]) -> tuple[Terms, Tensor]:
        """What `passes` sums up to, and the fingerprint of its loss and of their gradients."""
        return self._trace.run(passes)

    def testify(self, loss: Tensor, passes: Tensor | None, partners: Sequence[Tensor]) -> Tensor:
        """The testimonies [world_size * WORDS] of which this rank fills its own: their sum over ranks has all."""
        rows = torch.zeros(dist.get_world_size(), WORDS, dtype=torch.int64, device=self._device)
        nothing = rows.new_zeros(())
        partners = [*partners, nothing, nothing][:2]
        words = (self._seal, self.altered().long(), fingerprint([loss]), nothing if passes is None else passes)
        rows[dist.get_rank()] = torch.stack((*words, *partners))
        return rows.flatten()

    def _now(self) -> Tensor:
        return fingerprint(self._state).to(self._device)  # an engine may keep its state elsewhere

    @property
    def _seal(self) -> Tensor:
        assert self._sealed is not None, "seal comes before testify"
        return self._sealed
