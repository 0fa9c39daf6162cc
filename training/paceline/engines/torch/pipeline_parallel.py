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
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleInterleaved1F1B
from torch.distributed.pipelining.schedules import ScheduleInterleavedZeroBubble

from paceline.engines.base import MicroBatch
from paceline.engines.objectives.base import Objective, Terms
from paceline.engines.torch.context_parallel import split
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
        self._cp = mesh.cp
        self._tp = mesh.tp
        self._device = device
        self._objective = objective
        self._vocabulary = vocabulary
        self._count: int | Tensor = 1
        self._first = mesh.pp.rank == 0
        self._last = mesh.pp.rank == mesh.pp.size - 1
        count = mesh.pp.size * chosen.stages_per_rank
        positions = recipe.data.sequence_length // layout.cp
        shared = mesh.tp.size if chosen.sequence_parallel else 1

        def example(*shape: int, dtype: torch.dtype = dtype, gradient: bool = True) -> Tensor:
            return torch.empty(layout.micro_sequences, *shape, dtype=dtype, device="meta", requires_grad=gradient)

        def stage(index: int, model: CausalLM) -> PipelineStage:
            # told, because finding out takes a pass in which ranks would wait for each other
            hidden = example(positions // shared, model.config.hidden_size)
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
        self._count = count
        inputs = [split(torch.cat([b.inputs for b in microbatches]), self._cp).to(self._device)] if self._first else []
        ends: dict[str, Any] = {}
        losses: list[Tensor] = []
        if self._last:
            targets = torch.cat([b.targets for b in microbatches])
            ends = {"target": split(targets, self._cp).to(self._device), "losses": losses}
        self._schedule.step(*inputs, **ends, **_KEEPS_NOTHING)
        return Terms(loss=torch.stack(losses).detach().sum() if losses else torch.zeros((), device=self._device))

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        said = PassPredictions(output=logits, targets=targets, tp=self._tp, vocabulary=self._vocabulary)
        return self._objective.terms(said, targets, None).loss / self._count
