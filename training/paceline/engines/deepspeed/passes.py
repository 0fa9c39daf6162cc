"""The passes of a step one after the other, through a model that DeepSpeed has wrapped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from paceline.engines.base import MicroBatch
from paceline.engines.deepspeed.ulysses import split
from paceline.engines.objectives.base import Objective, Terms
from paceline.engines.torch.loss import cross_entropy_by_sequence
from paceline.engines.torch.mesh import ALONE, Axis
from paceline.engines.torch.predictions import PassPredictions
from paceline.models.decoder import CausalLM
from paceline.models.lora import without_adapters

_Backward = Callable[[Tensor, bool], None]


class Passes:
    """Runs passes through the model of `wrapped`. `reference` is the frozen one that it is compared with, if that is
    not the model without its adapters."""

    def __init__(
        self,
        wrapped: Any,
        model: CausalLM,
        reference: CausalLM | None,
        device: torch.device,
        cp: Axis,
        *,
        objective: Objective,
        vocabulary: int,
    ) -> None:
        self._wrapped = wrapped
        self._model = model
        self._learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._reference = reference or model
        self._device = device
        self._cp = cp
        self._objective = objective
        self._vocabulary = vocabulary

    def run(self, microbatches: Sequence[MicroBatch], count: int | Tensor) -> Terms:
        """Forward and backward of all passes; the sums over them, divided by `count`."""
        ranks = dist.get_world_size()

        def backward(loss: Tensor, last: bool) -> None:
            self._wrapped.set_gradient_accumulation_boundary(last)
            # DeepSpeed takes the mean over ranks, where the sum is wanted
            self._wrapped.backward(loss * ranks, scale_wrt_gas=False)

        return self._run(self._wrapped, microbatches, count, backward)

    def try_out(self, microbatches: Sequence[MicroBatch], count: int | Tensor) -> Terms:
        """The same, but no gradient is summed or kept: they are only shown to whoever listens to the parameters."""
        ranks = dist.get_world_size()

        def backward(loss: Tensor, last: bool) -> None:
            torch.autograd.grad(loss * ranks, self._learned)

        return self._run(self._model, microbatches, count, backward)

    @torch.no_grad()
    def evaluate(self, batch: MicroBatch) -> Tensor:
        """This rank's part of the loss of each sequence of `batch` in nats, [micro_sequences] float64."""
        said = self._predict(self._model, batch)
        return cross_entropy_by_sequence(said.output, said.targets, ALONE, vocabulary=self._vocabulary)

    def _run(
        self, model: nn.Module, microbatches: Sequence[MicroBatch], count: int | Tensor, backward: _Backward
    ) -> Terms:
        total = torch.zeros((), device=self._device)
        metrics = {name: torch.zeros((), device=self._device) for name in self._objective.metrics}
        for number, batch in enumerate(microbatches, start=1):
            reference = self._reference_nats(batch) if self._objective.needs_reference else None
            predictions = self._predict(model, batch)
            terms = self._objective.terms(predictions, predictions.targets, reference)
            loss = terms.loss / count
            backward(loss, number == len(microbatches))
            total += loss.detach()
            for name, value in terms.metrics.items():
                metrics[name] += value / count
        return Terms(loss=total, metrics=metrics)

    @torch.no_grad()
    def _reference_nats(self, batch: MicroBatch) -> Tensor:
        """What the first model says of `batch`, by sequence."""
        with without_adapters(self._model):
            return self._predict(self._reference, batch).nats_by_sequence()

    def _predict(self, model: nn.Module, batch: MicroBatch) -> PassPredictions:
        own = (split(tokens, self._cp) for tokens in (batch.inputs, batch.targets))
        inputs, targets = (tokens.to(self._device, non_blocking=True) for tokens in own)
        documents = None if batch.documents is None else batch.documents.to(self._device, non_blocking=True)
        output: Tensor = model(inputs, documents)
        return PassPredictions(output=output, targets=targets, tp=ALONE, vocabulary=self._vocabulary)
