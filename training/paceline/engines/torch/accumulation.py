"""The passes of a step one after the other, where every rank has all layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from paceline.engines.base import MicroBatch
from paceline.engines.torch.context_parallel import split
from paceline.engines.torch.mesh import Mesh
from paceline.models.decoder import CausalLM


class Accumulation:
    """Runs the passes of a step through a whole model."""

    def __init__(self, model: CausalLM, mesh: Mesh, *, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        assert isinstance(model, FSDPModule)
        self._model = model
        self._sharded: FSDPModule = model
        self._cp = mesh.cp
        self._device = torch.device(mesh.data.device_type)
        self._loss = loss

    def run(self, microbatches: Sequence[MicroBatch]) -> Tensor:
        """Forward and backward of all passes; the sum of their losses, a scalar."""
        total = torch.zeros((), device=self._device)
        for number, batch in enumerate(microbatches, start=1):
            # gradients are reduced over ranks once, in the last pass
            self._sharded.set_requires_gradient_sync(number == len(microbatches))
            logits = self._model(split(batch.inputs, self._cp).to(self._device))
            loss = self._loss(logits, split(batch.targets, self._cp).to(self._device))
            torch.autograd.backward(loss)
            total += loss.detach()
        return total
