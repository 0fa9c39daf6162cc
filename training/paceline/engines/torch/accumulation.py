"""The passes of a step one after the other, where every rank has all layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from paceline.engines.base import MicroBatch
from paceline.engines.objectives.base import Objective, Terms
from paceline.engines.torch.context_parallel import split
from paceline.engines.torch.loss import cross_entropy_by_sequence
from paceline.engines.torch.mesh import Mesh
from paceline.engines.torch.predictions import PassPredictions
from paceline.models.decoder import CausalLM
from paceline.models.lora import without_adapters


class Accumulation:
    """Runs the passes of a step through a whole model. `reference` is the frozen one that it is compared with, if that
    is not the model without its adapters."""

    def __init__(
        self, model: CausalLM, reference: CausalLM | None, mesh: Mesh, *, objective: Objective, vocabulary: int
    ) -> None:
        assert isinstance(model, FSDPModule)
        self._model = model
        self._reference = reference or model
        self._sharded: FSDPModule = model
        self._cp = mesh.cp
        self._tp = mesh.tp
        self._vocabulary = vocabulary
        self._device = torch.device(mesh.data.device_type)
        self._objective = objective

    def run(self, microbatches: Sequence[MicroBatch], count: int | Tensor) -> Terms:
        """Forward and backward of all passes; the sums over them, divided by `count`."""
        total = torch.zeros((), device=self._device)
        metrics = {name: torch.zeros((), device=self._device) for name in self._objective.metrics}
        for number, batch in enumerate(microbatches, start=1):
            reference = self._reference_nats(batch) if self._objective.needs_reference else None
            # gradients are reduced over ranks once, in the last pass
            self._sharded.set_requires_gradient_sync(number == len(microbatches))
            predictions = self._predict(self._model, batch)
            terms = self._objective.terms(predictions, predictions.targets, reference)
            loss = terms.loss / count
            torch.autograd.backward(loss)
            total += loss.detach()
            for name, value in terms.metrics.items():
                metrics[name] += value / count
        return Terms(loss=total, metrics=metrics)

    def evaluate(self, batch: MicroBatch) -> Tensor:
        """This rank's part of the loss of each sequence of `batch` in nats, [micro_sequences] float64."""
        said = self._predict(self._model, batch)
        nats = cross_entropy_by_sequence(said.output, said.targets, self._tp, vocabulary=self._vocabulary)
        self._sharded.reshard()  # without a backward pass nobody else does
        return nats

    @torch.no_grad()
    def _reference_nats(self, batch: MicroBatch) -> Tensor:
        """What the first model says of `batch`, by sequence."""
        with without_adapters(self._model):
            nats = self._predict(self._reference, batch).nats_by_sequence()
        assert isinstance(self._reference, FSDPModule)
        self._reference.reshard()
        return nats

    def _predict(self, model: CausalLM, batch: MicroBatch) -> PassPredictions:
        documents = None if batch.documents is None else self._own(batch.documents)
        output: Tensor = model(self._own(batch.inputs), documents)
        return PassPredictions(
            output=output, targets=self._own(batch.targets), tp=self._tp, vocabulary=self._vocabulary
        )

    def _own(self, tokens: Tensor) -> Tensor:
        """This rank's positions, on its device."""
        return split(tokens, self._cp).to(self._device, non_blocking=True)
