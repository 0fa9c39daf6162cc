"""The passes of a step: one after the other through a whole model, or through the stages of a pipeline.

NeuronX Distributed averages gradients over the ranks that share a batch, and a pipeline's over its passes; ours are
sums over one count. So what is minimised is multiplied by what it will be divided by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import neuronx_distributed as nxd
import torch
import torch_xla.core.xla_model as xm
from neuronx_distributed.parallel_layers import parallel_state
from torch import Tensor, nn

from paceline.engines.base import MicroBatch
from paceline.engines.nxd.attention import split
from paceline.engines.nxd.pipeline import as_list, stages
from paceline.engines.nxd.predictions import PassPredictions
from paceline.engines.objectives.base import Objective, Terms
from paceline.models.decoder import CausalLM


class Passes(Protocol):
    """How the batch of a rank goes through its part of the model."""

    def run(self, microbatches: Sequence[MicroBatch], count: int | Tensor) -> Terms:
        """Forward and backward of all passes; the sums over them, divided by `count`."""
        ...


class Accumulation(Passes):
    """The passes of a whole model one after the other, each a graph of its own."""

    def __init__(
        self, config: dict[str, Any], model: CausalLM, reference: CausalLM | None, objective: Objective
    ) -> None:
        self._lesson = _Lesson(model, objective)
        self._model = model
        self._reference = reference or model
        self._objective = objective
        self._device = xm.xla_device()
        self._averaged = _averaged_over()
        self._trained = nxd.initialize_parallel_model(config, lambda: self._lesson)

    def run(self, microbatches: Sequence[MicroBatch], count: int | Tensor) -> Terms:
        total = torch.zeros((), device=self._device)
        metrics = {name: torch.zeros((), device=self._device) for name in self._objective.metrics}
        # a tensor, so that another count is not another graph
        weight = torch.as_tensor(self._averaged / count, dtype=torch.float32).to(self._device)
        for batch in microbatches:
            inputs, targets = self._own(batch.inputs), self._own(batch.targets)
            documents = None if batch.documents is None else self._own(batch.documents)
            known = self._reference_nats(inputs, targets, documents) if self._objective.needs_reference else None
            loss: Tensor = self._trained.run_train(inputs, targets, documents, known, weight)
            total += loss.detach() / self._averaged
            for name, value in self._lesson.metrics.items():
                metrics[name] += value * weight / self._averaged
            xm.mark_step()
        return Terms(loss=total, metrics=metrics)

    def evaluate(self, batch: MicroBatch) -> Tensor:
        """This rank's part of the loss of each sequence of `batch` in nats, [micro_sequences], still on the device."""
        documents = None if batch.documents is None else self._own(batch.documents)
        logits = self._model(self._own(batch.inputs), documents)
        return PassPredictions(logits=logits, targets=self._own(batch.targets)).nats_by_sequence()

    @torch.no_grad()
    def _reference_nats(self, inputs: Tensor, targets: Tensor, documents: Tensor | None) -> Tensor:
        """What the first model says, by sequence."""
        with _without_adapters(self._model):
            said = PassPredictions(logits=self._reference(inputs, documents), targets=targets)
            return said.nats_by_sequence()

    def _own(self, tokens: Tensor) -> Tensor:
        return split(tokens).to(self._device)


class Pipeline(Passes):
    """The passes follow each other through the stages (1F1B), as NeuronX Distributed schedules them."""

    def __init__(self, config: dict[str, Any], model: CausalLM, objective: Objective, passes: int) -> None:
        self._objective = objective
        self._device = xm.xla_device()
        self._averaged = _averaged_over()
        self._passes = passes
        self._weight = torch.ones((), device=self._device)
        config["pipeline_config"] = {
            "num_microbatches": passes,
            "manual_pp_partition": True,
            "manual_pp_stage_partition_fn": stages,
            "manual_pp_loss_fn": self._loss,
            "use_zero1_optimizer": True,
            "use_optimizer_wrapper": True,
        }
        self._trained = nxd.initialize_parallel_model(config, lambda: as_list(model))

    def run(self, microbatches: Sequence[MicroBatch], count: int | Tensor) -> Terms:
        scale = self._averaged * self._passes / count
        self._weight = torch.as_tensor(scale, dtype=torch.float32).to(self._device)
        inputs, targets = (
            torch.cat([split(tokens) for tokens in batches])
            for batches in ([b.inputs for b in microbatches], [b.targets for b in microbatches])
        )
        mean = self._trained.run_train(inputs=inputs, labels=targets)  # of the passes; None but on the last stage
        if mean is None:
            return Terms(loss=torch.zeros((), device=self._device))
        return Terms(loss=mean.detach().to(self._device) / self._averaged)

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        said = PassPredictions(logits=logits, targets=targets)
        return self._objective.terms(said, targets, None).loss * self._weight


class _Lesson(nn.Module):
    """A model and its objective as one module that returns a loss, as `run_train` wants it."""

    def __init__(self, model: CausalLM, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self._objective = objective
        self.metrics: dict[str, Tensor] = {}

    def forward(
        self, inputs: Tensor, targets: Tensor, documents: Tensor | None, reference: Tensor | None, weight: Tensor
    ) -> Tensor:
        said = PassPredictions(logits=self.model(inputs, documents), targets=targets)
        terms = self._objective.terms(said, targets, reference)
        self.metrics = dict(terms.metrics)
        return terms.loss * weight


def _averaged_over() -> int:
    return int(parallel_state.get_data_parallel_size() * parallel_state.get_context_model_parallel_size())


@contextmanager
def _without_adapters(model: CausalLM) -> Iterator[None]:
    """The model as it was before it learned."""
    adapted = [module for module in model.modules() if hasattr(module, "active")]
    for module in adapted:
        module.active = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in adapted:
            module.active = True  # type: ignore[assignment]
