"""The passes of a step one after the other, where every rank has all layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from paceline.engines.base import MicroBatch
from paceline.engines.torch.context_parallel import split
from paceline.engines.torch.loss import cross_entropy_by_sequence
from paceline.engines.torch.mesh import Mesh
from paceline.models.decoder import CausalLM


class Accumulation:
    """Runs the passes of a step through a whole model."""

    def __init__(
        self, model: CausalLM, mesh: Mesh, *, loss: Callable[[Tensor, Tensor], Tensor], vocabulary: int
    ) -> None:
        assert isinstance(model, FSDPModule)
        self._model = model
        self._sharded: FSDPModule = model
        self._cp = mesh.cp
        self._tp = mesh.tp
        self._vocabulary = vocabulary
        self._device = torch.device(mesh.data.device_type)
        self._loss = loss

    def run(self, microbatches: Sequence[MicroBatch]) -> Tensor:
        """Forward and backward of all passes; the sum of their losses, a scalar."""
        total = torch.zeros((), device=self._device)
        for number, batch in enumerate(microbatches, start=1):
            # gradients are reduced over ranks once, in the last pass
            self._sharded.set_requires_gradient_sync(number == len(microbatches))
            loss = self._loss(self._logits(batch), self._own(batch.targets))
            torch.autograd.backward(loss)
            total += loss.detach()
        return total

    def evaluate(self, batch: MicroBatch) -> Tensor:
        """This rank's part of the loss of each sequence of `batch` in nats, [micro_sequences] float64."""
        nats = cross_entropy_by_sequence(
            self._logits(batch), self._own(batch.targets), self._tp, vocabulary=self._vocabulary
        )
        self._sharded.reshard()  # without a backward pass nobody else does
        return nats

    def _logits(self, batch: MicroBatch) -> Tensor:
        documents = None if batch.documents is None else self._own(batch.documents)
        logits: Tensor = self._model(self._own(batch.inputs), documents)
        return logits

    def _own(self, tokens: Tensor) -> Tensor:
        """This rank's positions, on its device."""
        return split(tokens, self._cp).to(self._device, non_blocking=True)
