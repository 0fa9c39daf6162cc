"""Pipeline parallel: ranks share the layers, and passes follow each other through the stages.

Schedules: 1F1B and its interleaved form (Narayanan et al., 2021), zero bubble (Qi et al., 2024), as
`torch.distributed.pipelining` has them.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleInterleaved1F1B
from torch.distributed.pipelining.schedules import ScheduleInterleavedZeroBubble

from paceline.engines.base import MicroBatch
from paceline.engines.objectives.base import Objective, Terms
from paceline.engines.torch.context_parallel import split
from paceline.engines.torch.loss import cross_entropy_by_sequence
from paceline.engines.torch.mesh import Mesh
from paceline.engines.torch.predictions import PassPredictions
from paceline.engines.torch.state import Holdings
from paceline.models.decoder import CausalLM
from paceline.recipe.schema import Parallelism, Recipe

_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
# since torch 2.10; without it the last stage keeps the logits of all passes
_KEEPS_NOTHING = (
    {"return_outputs": False} if "return_outputs" in inspect.signature(Schedule1F1B.step).parameters else {}
)


def stages_of(mesh: Mesh, chosen: Parallelism) -> list[int]:
    """Which of the pipeline's stages this rank has."""
    return [mesh.pp.rank + mesh.pp.size * loop for loop in range(chosen.stages_per_rank)]


def apply(model: CausalLM, stage: int, mesh: Mesh, chosen: Parallelism, holdings: Holdings) -> None:
    """Keep of a `model` on the meta device what belongs to `stage`; the rest passes on what it is given.

    A tied embedding is a parameter of the first and of the last stage, where its gradients must be summed.
    """
    stages = mesh.pp.size * chosen.stages_per_rank
    if stages == 1:
        return
    tied = model.config.tie_word_embeddings
    layers = model.config.num_hidden_layers
    first, last = stage * layers // stages, (stage + 1) * layers // stages
    for index in range(layers):
        if not first <= index < last:
            delattr(model.model.layers, str(index))
    if stage > 0:
        model.model.embed_tokens = nn.Identity()
    if stage < stages - 1:
        model.model.norm = model.lm_head = nn.Identity()
    kept = {name for name, _ in model.named_parameters()}
    if tied and stage in (0, stages - 1):
        holding = holdings[_EMBEDDING]
        both = replace(holding, copies=holding.copies * 2, summed_over=(*holding.summed_over, mesh.vocabulary))
        holdings[_HEAD if stage else _EMBEDDING] = both
    for name in holdings.keys() - kept:
        del holdings[name]


class Pipeline:
    """Runs the passes of a step through the stages."""

    def __init__(
        self,
        stages: Sequence[tuple[int, CausalLM]],
        mesh: Mesh,
        recipe: Recipe,
        *,
        dtype: torch.dtype,
        objective: Objective,
        vocabulary: int,
    ) -> None:
        chosen, layout, device = recipe.parallelism, mesh.layout, torch.device(mesh.data.device_type)
        self._stages = stages
        self._dtype = dtype
        self._pp, self._cp, self._tp = mesh.pp, mesh.cp, mesh.tp
        self._device = device
        self._objective = objective
        self._vocabulary = vocabulary
        self._terms: int | Tensor = 1
        self._first = mesh.pp.rank == 0
        self._last = mesh.pp.rank == mesh.pp.size - 1
        self._count = count = mesh.pp.size * chosen.stages_per_rank
        positions = recipe.data.sequence_length // layout.cp
        shared = mesh.tp.size if chosen.sequence_parallel else 1

        self._hidden = layout.micro_sequences, positions // shared, stages[0][1].config.hidden_size

        def example(*shape: int, dtype: torch.dtype = dtype, gradient: bool = True) -> Tensor:
            return torch.empty(layout.micro_sequences, *shape, dtype=dtype, device="meta", requires_grad=gradient)

        def stage(index: int, model: CausalLM) -> PipelineStage:
            # told, because finding out takes a pass in which ranks would wait for each other
            hidden = example(*self._hidden[1:])
            ids = example(positions, dtype=torch.int64, gradient=False)
            logits = (
                example(positions, *model.lm_head.get_parameter("weight").shape[:1]) if index == count - 1 else hidden
            )
            return PipelineStage(
                model,
                index,
                count,
                device,
                input_args=(hidden if index else ids,),
                output_args=(logits,),
                group=mesh.pp.group,
            )

        passes: dict[str, Any] = {"n_microbatches": layout.micro_steps, "loss_fn": self._loss, "scale_grads": False}
        own: list[Any] = [stage(index, model) for index, model in stages]
        self._schedule: Any
        if chosen.pp_schedule == "zero_bubble":
            self._schedule = ScheduleInterleavedZeroBubble(own, **passes)
        elif len(own) > 1:
            self._schedule = ScheduleInterleaved1F1B(own, **passes)
        else:
            self._schedule = Schedule1F1B(own[0], **passes)

    def run(self, microbatches: Sequence[MicroBatch], count: int | Tensor) -> Terms:
        """Forward and backward of all passes; the sum of their losses over `count`, zero but on the last stage."""
        self._terms = count
        inputs = [self._own([b.inputs for b in microbatches])] if self._first else []
        documents = [b.documents for b in microbatches if b.documents is not None]
        every_stage = {"documents": self._own(documents)} if documents else {}
        ends: dict[str, Any] = {}
        losses: list[Tensor] = []
        if self._last:
            ends = {"target": self._own([b.targets for b in microbatches]), "losses": losses}
        self._schedule.step(*inputs, **every_stage, **ends, **_KEEPS_NOTHING)
        return Terms(loss=torch.stack(losses).detach().sum() if losses else torch.zeros((), device=self._device))

    def evaluate(self, batch: MicroBatch) -> Tensor:
        """As `Accumulation.evaluate`; zeros but on the last stage. The pass goes through one stage after the other."""
        nats = torch.zeros(len(batch.inputs), dtype=torch.float64, device=self._device)
        documents = None if batch.documents is None else self._own([batch.documents])
        for index, model in self._stages:
            given = self._own([batch.inputs]) if index == 0 else self._received()
            given = model(given, documents)
            if index < self._count - 1:
                dist.send(given.contiguous(), group=self._pp.group, group_dst=(self._pp.rank + 1) % self._pp.size)
            else:
                targets = self._own([batch.targets])
                nats = cross_entropy_by_sequence(given, targets, self._tp, vocabulary=self._vocabulary)
            for module in model.modules():
                if isinstance(module, FSDPModule):
                    module.reshard()  # without a backward pass nobody else does
        return nats

    def _received(self) -> Tensor:
        """The hidden states that the stage before gives."""
        hidden = torch.empty(self._hidden, dtype=self._dtype, device=self._device)
        dist.recv(hidden, group=self._pp.group, group_src=(self._pp.rank - 1) % self._pp.size)
        return hidden

    def _own(self, tokens: Sequence[Tensor]) -> Tensor:
        """This rank's positions of these passes, on its device."""
        return split(torch.cat(list(tokens)), self._cp).to(self._device, non_blocking=True)

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        said = PassPredictions(output=logits, targets=targets, tp=self._tp, vocabulary=self._vocabulary)
        return self._objective.terms(said, targets, None).loss / self._terms
