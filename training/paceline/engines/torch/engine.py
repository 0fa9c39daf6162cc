"""The default engine: PyTorch's own, on gloo where there is no accelerator and on NCCL where there is CUDA.

A world of one runs the same code as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from paceline.engines.base import Capabilities, Device, Engine, LogicalShard, MicroBatch, RankContext, StepOut, Watch
from paceline.engines.figures import Scalar, describe
from paceline.engines.objectives.base import Objective
from paceline.engines.objectives.registry import objective
from paceline.engines.rehearsal import Tokens, shortened
from paceline.engines.torch import flight_recorder
from paceline.engines.torch.accumulation import Accumulation
from paceline.engines.torch.allocator import keep_freed_memory
from paceline.engines.torch.mesh import Mesh
from paceline.engines.torch.optimizer import ShardedAdamW
from paceline.engines.torch.pace import Pace
from paceline.engines.torch.parallelize import Stage, build, build_reference
from paceline.engines.torch.pipeline_parallel import Pipeline
from paceline.engines.torch.precision import has_float8, policy
from paceline.engines.torch.process_group import join, join_alone, leave
from paceline.engines.torch.state import logical, place
from paceline.engines.torch.witness import Witness
from paceline.engines.watch import WORDS
from paceline.models.blueprint import Blueprint
from paceline.models.lora import compress
from paceline.models.registry import blueprint
from paceline.plan.layout import Layout, derive
from paceline.recipe.schema import Parallelism, Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    """What `setup` made."""

    recipe: Recipe
    vocabulary: int
    mesh: Mesh

    @property
    def device(self) -> torch.device:
        return torch.device(self.mesh.data.device_type)

    @property
    def integers(self) -> torch.device:
        """Where 64-bit integers are summed: Neuron's compiler makes them narrower."""
        return torch.device("cpu") if self.device.type == "neuron" else self.device


@dataclass(frozen=True, kw_only=True, slots=True)
class _Training:
    """What `build` made."""

    objective: Objective
    frozen: tuple[Stage, ...]
    passes: Accumulation | Pipeline
    optimizer: ShardedAdamW
    witness: Witness
    pace: Pace | None


class TorchEngine(Engine):
    """See `paceline.engines.base.Engine`."""

    name: ClassVar[str] = "torch"

    def __init__(self) -> None:
        keep_freed_memory()
        self._group: _Group | None = None
        self._training: _Training | None = None

    def capabilities(self) -> Capabilities:
        return Capabilities(
            accelerators=("cpu", "cuda", "neuron"),
            axes=("pp", "dp_replicate", "dp_shard", "cp", "ep", "tp"),
            precisions=("float32", "bfloat16") + (("float8",) if has_float8() else ()),
        )

    def plan(self, recipe: Recipe, world_size: int) -> Layout:
        return derive(recipe, world_size)

    def rehearse(self, recipe: Recipe, vocabulary: int) -> None:
        alone = {"parallelism": Parallelism(), "model": recipe.model.model_copy(update={"weights": None})}
        recipe = recipe.model_copy(update=alone)
        try:
            mesh = Mesh.of(derive(recipe, 1), join_alone())
            self._group = _Group(recipe=recipe, vocabulary=vocabulary, mesh=mesh)
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
        self._group = _Group(recipe=recipe, vocabulary=vocabulary, mesh=Mesh.of(layout, join(context)))

    def build(self, *, initialise: bool) -> None:
        self._build(blueprint(self._joined.recipe.model, self._joined.vocabulary), initialise=initialise)

    def _build(self, plan: Blueprint, *, initialise: bool) -> None:
        group, recipe, mesh = self._joined, self._joined.recipe, self._joined.mesh
        minimised = objective(recipe)
        seed = recipe.seed if initialise else None
        stages, reference = build(plan, recipe, mesh, seed=seed), None
        if minimised.needs_reference and recipe.adapter is None:
            reference = build_reference(plan, recipe, mesh, seed=seed)
        passes: Accumulation | Pipeline
        if mesh.pp.size == 1:
            other = None if reference is None else reference.model
            passes = Accumulation(stages[0].model, other, mesh, objective=minimised, vocabulary=group.vocabulary)
        else:
            dtype = policy(recipe.compute).param_dtype or torch.float32
            pipeline = [(stage.index, stage.model) for stage in stages]
            passes = Pipeline(pipeline, mesh, recipe, dtype=dtype, objective=minimised, vocabulary=group.vocabulary)
        optimizer = ShardedAdamW(stages, recipe.optimizer, plan.sharding)
        held = [shard.tensor for shard in optimizer.state().values()]
        # a compiled layer does not show the gradients of its parameters one by one
        traced = [] if recipe.compute.compile else [stage.model for stage in stages]
        units = [unit for stage in stages for unit in plan.sharding.unit_modules(stage.model)]
        alone = mesh.tp.size == mesh.cp.size == mesh.ep.size == 1  # or ranks wait for each other within layers
        self._training = _Training(
            objective=minimised,
            frozen=tuple(stages) if reference is None else (reference,),
            passes=passes,
            optimizer=optimizer,
            witness=Witness(held, traced, group.device),
            pace=Pace(units, group.device) if alone else None,
        )

    @contextmanager
    def frozen(self) -> Iterator[Mapping[str, LogicalShard]]:
        plan = blueprint(self._joined.recipe.model, self._joined.vocabulary).sharding
        held = [pair for stage in self._built.frozen for pair in stage.frozen()]
        yield {
            name: shard
            for holding, parameter in held
            for name, shard in logical(holding.name, place(parameter, holding), plan)
        }
        for stage in self._built.frozen:
            compress(stage.model)

    def state(self) -> Mapping[str, LogicalShard]:
        return self._built.optimizer.state()

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
        means = torch.stack((terms.loss, *terms.metrics.values()))
        if group.mesh.tp.rank > 0:
            means = torch.zeros_like(means)  # the first of them accounts for what all have computed
        before_update()
        # no rank leaves a sum before all have entered it: this is the fence that the protocol promises
        sums = torch.cat((means, training.optimizer.squared_gradient_norm().unsqueeze(0)))
        dist.all_reduce(sums)
        words = torch.tensor(totals, device=group.integers)
        if watch is not None:
            words = torch.cat((words, training.witness.testify(terms.loss, own, partners)))
        dist.all_reduce(words)
        gradient_norm = sums[-1].sqrt()
        training.optimizer.step(
            learning_rate=learning_rate,
            gradient_norm=gradient_norm,
            gradient_clip=group.recipe.optimizer.gradient_clip,
        )
        summed = words.cpu().numpy()
        return StepOut(
            loss=Scalar(tensor=sums[0]),
            gradient_norm=Scalar(tensor=gradient_norm),
            totals=summed[: len(totals)],
            testimonies=summed[len(totals) :].reshape(-1, WORDS) if watch is not None else None,
            compute_seconds=training.pace,
            metrics={name: Scalar(tensor=sums[number]) for number, name in enumerate(terms.metrics, start=1)},
        )

    def _count(self, microbatches: Sequence[MicroBatch]) -> Tensor:
        """The terms of the global batch, where only the data says how many there are."""
        mesh, objective = self._joined.mesh, self._built.objective
        own = sum(objective.count_in(batch.targets) for batch in microbatches)
        total = torch.tensor(own, device=self._joined.device)
        dist.all_reduce(total)
        return total // (mesh.layout.world_size // mesh.layout.data_ranks)

    def _recompute(self, microbatches: Sequence[MicroBatch], count: int | Tensor) -> Tensor:
        """The fingerprint of the passes of another rank; nothing of them is left."""
        training = self._built
        _, found = training.witness.trace(lambda: training.passes.run(microbatches, count))
        training.optimizer.drop_gradients()
        return found

    def seal(self) -> None:
        self._built.witness.seal()

    def altered(self) -> bool:
        return bool(self._built.witness.altered().item())

    @torch.no_grad()
    def eval_step(self, microbatch: MicroBatch) -> npt.NDArray[np.float64]:
        mesh = self._joined.mesh
        own = self._built.passes.evaluate(microbatch)
        every = own.new_zeros(mesh.layout.data_ranks, len(own))
        if mesh.tp.rank == 0:  # the first of them accounts for what all have computed
            every[mesh.layout.data_rank(dist.get_rank())] = own
        dist.all_reduce(every)
        return every.flatten().cpu().numpy()

    def device(self) -> Device:
        return describe(self._joined.device)

    def recent_collectives(self) -> bytes:
        return flight_recorder.dump()

    def sync(self) -> None:
        if self._joined.device.type != "cpu":
            getattr(torch, self._joined.device.type).synchronize(self._joined.device)

    def teardown(self) -> None:
        self._training = None
        self._group = None
        leave()

    @property
    def _joined(self) -> _Group:
        assert self._group is not None, "setup comes first"
        return self._group

    @property
    def _built(self) -> _Training:
        assert self._training is not None, "build comes first"
        return self._training
