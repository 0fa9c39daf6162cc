"""DeepSpeed: ZeRO over all ranks, on gloo where there is no accelerator and on NCCL where there is CUDA.

The loss, its methods, the witness and the meeting of ranks are those of the torch engine; partitions, gradients and
their sums, and the update are DeepSpeed's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import deepspeed
import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn

from paceline.engines.base import Capabilities, Device, Engine, LogicalShard, MicroBatch, RankContext, StepOut, Watch
from paceline.engines.deepspeed import process_group
from paceline.engines.deepspeed.config import config
from paceline.engines.deepspeed.model import build, groups
from paceline.engines.deepspeed.partitions import Partition, frozen_run, logical
from paceline.engines.deepspeed.passes import Passes
from paceline.engines.figures import Scalar, describe
from paceline.engines.objectives.base import Objective
from paceline.engines.objectives.registry import objective
from paceline.engines.rehearsal import Tokens, shortened
from paceline.engines.runs import blocks
from paceline.engines.torch import flight_recorder
from paceline.engines.torch.mesh import ALONE, Axis, Mesh
from paceline.engines.torch.pace import Pace
from paceline.engines.torch.witness import Witness
from paceline.engines.watch import WORDS
from paceline.models import adapter
from paceline.models.blueprint import Blueprint
from paceline.models.initialise import initialise
from paceline.models.registry import blueprint
from paceline.plan.layout import Layout, derive
from paceline.recipe.schema import Parallelism, Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    """What `setup` made."""

    recipe: Recipe
    vocabulary: int
    layout: Layout
    device: torch.device
    cp: Axis


@dataclass(frozen=True, kw_only=True, slots=True)
class _Training:
    """What `build` made."""

    objective: Objective
    wrapped: Any
    frozen: Mapping[str, nn.Parameter]
    passes: Passes
    partition: Partition
    state: Mapping[str, LogicalShard]
    witness: Witness
    pace: Pace | None


class DeepSpeedEngine(Engine):
    """See `paceline.engines.base.Engine`."""

    name: ClassVar[str] = "deepspeed"

    def __init__(self) -> None:
        self._group: _Group | None = None
        self._training: _Training | None = None

    def capabilities(self) -> Capabilities:
        return Capabilities(accelerators=("cpu", "cuda"), axes=("dp_shard", "cp"), precisions=("float32", "bfloat16"))

    def plan(self, recipe: Recipe, world_size: int) -> Layout:
        return derive(recipe, world_size)

    def rehearse(self, recipe: Recipe, vocabulary: int) -> None:
        alone = {
            "parallelism": Parallelism(zero=recipe.parallelism.zero),
            "model": recipe.model.model_copy(update={"weights": None}),
        }
        recipe = recipe.model_copy(update=alone)
        try:
            layout = derive(recipe, 1)
            device = process_group.join(None)
            self._group = _Group(recipe=recipe, vocabulary=vocabulary, layout=layout, device=device, cp=ALONE)
            self._build(shortened(blueprint(recipe.model, vocabulary)), initialise=True)
            with self.frozen():
                pass  # it has first values of its own
            zeros = torch.zeros(recipe.batch.micro_sequences, recipe.data.sequence_length, dtype=torch.int64)
            passes = [Tokens(inputs=zeros, targets=zeros)] * 2  # the first without, the last with reduction
            no_totals = np.zeros(1, dtype=np.int64)
            self.seal()
            step = self.train_step(
                passes, learning_rate=0.0, totals=no_totals, before_update=self.sync, watch=Watch(recompute=(passes,))
            )
            step.loss.result()
        finally:
            self.teardown()

    def setup(self, recipe: Recipe, vocabulary: int, context: RankContext) -> None:
        layout = derive(recipe, context.world_size)
        device = process_group.join(context)
        cp = Mesh.of(layout, device.type).cp
        self._group = _Group(recipe=recipe, vocabulary=vocabulary, layout=layout, device=device, cp=cp)

    def build(self, *, initialise: bool) -> None:
        self._build(blueprint(self._joined.recipe.model, self._joined.vocabulary), initialise=initialise)

    def _build(self, plan: Blueprint, *, initialise: bool) -> None:
        group, recipe = self._joined, self._joined.recipe
        chosen, minimised = config(recipe, group.layout), objective(recipe)
        model = build(plan, recipe, chosen, group.device, group.cp)
        ours = recipe.optimizer
        adamw = torch.optim.AdamW(
            groups(model, ours.weight_decay), lr=0.0, betas=ours.betas, eps=ours.epsilon, fused=True
        )
        wrapped, zero, *_ = deepspeed.initialize(model=model, optimizer=adamw, config=chosen)
        named = dict(model.named_parameters())
        learned = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
        frozen = {name: parameter for name, parameter in named.items() if not parameter.requires_grad}
        reference = None
        if minimised.needs_reference and recipe.adapter is None:
            reference = build(plan, recipe, chosen, group.device, group.cp)
            reference.requires_grad_(False)
            if recipe.parallelism.zero == 3:
                deepspeed.initialize(model=reference, config=chosen)
            frozen = dict(reference.named_parameters())
        partition = Partition(zero, learned, stage=recipe.parallelism.zero)
        state = partition.state(plan.sharding)
        alone = recipe.parallelism.zero < 3 and group.cp.size == 1  # or ranks wait for each other within layers
        self._training = _Training(
            objective=minimised,
            wrapped=wrapped,
            frozen=frozen,
            passes=Passes(
                wrapped, model, reference, group.device, group.cp, objective=minimised, vocabulary=group.vocabulary
            ),
            partition=partition,
            state=state,
            witness=Witness([shard.tensor for shard in state.values()], [model], group.device),
            pace=Pace(plan.sharding.unit_modules(model), group.device) if alone else None,
        )
        if initialise:
            self._initialise(plan)

    def _initialise(self, plan: Blueprint) -> None:
        recipe, shards = self._joined.recipe, [*self._built.state.items()]
        for name, shard in (*shards, *self._frozen(plan).items()):
            if name.startswith("optimizer.") or (recipe.model.weights is not None and not adapter.learns(name)):
                continue
            for block in blocks(shard.offset, tuple(shard.tensor.shape), shard.global_shape):
                columns = shard.global_shape[1:]
                initialise(
                    name,
                    shard.tensor.view(-1)[block.elements].view(block.shape),
                    first_row=block.offset[0],
                    first_column=block.offset[1] if columns else 0,
                    columns=columns[0] if columns else None,
                    seed=recipe.seed,
                    std=adapter.first_deviation(name, columns[0], plan.initializer_range) if columns else 0.0,
                )

    def _frozen(self, plan: Blueprint) -> Mapping[str, LogicalShard]:
        runs = [frozen_run(name, parameter) for name, parameter in self._built.frozen.items()]
        return {tensor: shard for run in runs for tensor, shard in logical(run, run.flat, plan.sharding)}

    @contextmanager
    def frozen(self) -> Iterator[Mapping[str, LogicalShard]]:
        yield self._frozen(blueprint(self._joined.recipe.model, self._joined.vocabulary))

    def state(self) -> Mapping[str, LogicalShard]:
        return self._built.state

    def train_step(
        self,
        microbatches: Sequence[MicroBatch],
        *,
        learning_rate: float,
        totals: npt.NDArray[np.int64],
        before_update: Callable[[], None],
        watch: Watch | None = None,
    ) -> StepOut:
        group, training = self._joined, self._built
        training.partition.publish()
        # a sum over the global count, so that adding up passes and ranks gives the exact mean
        count = training.objective.count or self._count(microbatches)
        recompute = watch.recompute if watch is not None else ()
        partners = [self._recompute(passes, count) for passes in recompute]
        if training.pace is not None:
            training.pace.reset()
        if recompute:
            terms, own = training.witness.trace(lambda: training.passes.run(microbatches, count))
        else:
            terms, own = training.passes.run(microbatches, count), None
        sums = torch.stack((terms.loss, *terms.metrics.values()))
        before_update()
        # no rank leaves a sum before all have entered it: this is the fence that the protocol promises
        dist.all_reduce(sums)
        words = torch.tensor(totals, device=group.device)
        if watch is not None:
            words = torch.cat((words, training.witness.testify(terms.loss, own, partners)))
        dist.all_reduce(words)
        for parameters in training.wrapped.optimizer.param_groups:
            parameters["lr"] = learning_rate
        training.wrapped.step()
        training.partition.updated()
        summed = words.cpu().numpy()
        return StepOut(
            loss=Scalar(tensor=sums[0]),
            gradient_norm=Scalar(tensor=torch.as_tensor(training.wrapped.get_global_grad_norm())),
            totals=summed[: len(totals)],
            testimonies=summed[len(totals) :].reshape(-1, WORDS) if watch is not None else None,
            compute_seconds=training.pace,
            metrics={name: Scalar(tensor=sums[number]) for number, name in enumerate(terms.metrics, start=1)},
        )

    def _count(self, microbatches: Sequence[MicroBatch]) -> Tensor:
        """The terms of the global batch, where only the data says how many there are."""
        group = self._joined
        own = sum(self._built.objective.count_in(batch.targets) for batch in microbatches)
        total = torch.tensor(own, device=group.device)
        dist.all_reduce(total)
        return total // group.cp.size

    def _recompute(self, microbatches: Sequence[MicroBatch], count: int | Tensor) -> Tensor:
        """The fingerprint of the passes of another rank; nothing of them is left."""
        training = self._built
        _, found = training.witness.trace(lambda: training.passes.try_out(microbatches, count))
        return found

    def seal(self) -> None:
        self._built.witness.seal()

    def altered(self) -> bool:
        return bool(self._built.witness.altered().item())

    def eval_step(self, microbatch: MicroBatch) -> npt.NDArray[np.float64]:
        self._built.partition.publish()
        own = self._built.passes.evaluate(microbatch)
        layout = self._joined.layout
        every = own.new_zeros(layout.data_ranks, len(own))
        every[layout.data_rank(dist.get_rank())] = own
        dist.all_reduce(every)
        return every.flatten().cpu().numpy()

    def device(self) -> Device:
        return describe(self._joined.device)

    def recent_collectives(self) -> bytes:
        return flight_recorder.dump()

    def sync(self) -> None:
        if self._joined.device.type == "cuda":
            torch.cuda.synchronize(self._joined.device)

    def teardown(self) -> None:
        if self._training is not None:
            self._training.wrapped.destroy()
        self._training = None
        self._group = None
        process_group.leave()

    @property
    def _joined(self) -> _Group:
        assert self._group is not None, "setup comes first"
        return self._group

    @property
    def _built(self) -> _Training:
        assert self._training is not None, "build comes first"
        return self._training
