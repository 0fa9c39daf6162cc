"""The default engine: PyTorch's own FSDP2, on gloo where there is no accelerator and on NCCL where there is CUDA.

A world of one runs the same code as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.device_mesh import DeviceMesh

from paceline.engines.base import Capabilities, Engine, LogicalShard, MicroBatch, RankContext, StepOut
from paceline.engines.torch.optimizer import ShardedAdamW
from paceline.engines.torch.parallelize import ShardedModel, build_sharded
from paceline.engines.torch.process_group import join, join_alone, leave
from paceline.models.layers import PlainLayers
from paceline.models.registry import blueprint
from paceline.plan.layout import Layout, derive
from paceline.recipe.schema import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    """What `setup` made."""

    recipe: Recipe
    vocabulary: int
    mesh: DeviceMesh

    @property
    def device(self) -> torch.device:
        return torch.device(self.mesh.device_type)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Training:
    """What `build` made."""

    model: ShardedModel
    optimizer: ShardedAdamW


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scalar:
    tensor: torch.Tensor

    def result(self) -> float:
        return self.tensor.item()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tokens:
    inputs: torch.Tensor
    targets: torch.Tensor


class TorchEngine(Engine):
    """See `paceline.engines.base.Engine`."""

    name: ClassVar[str] = "torch"

    def __init__(self) -> None:
        self._group: _Group | None = None
        self._training: _Training | None = None

    def capabilities(self) -> Capabilities:
        return Capabilities(accelerators=("cpu", "cuda"), axes=("dp_shard",))

    def plan(self, recipe: Recipe, world_size: int) -> Layout:
        return derive(recipe, world_size)

    def rehearse(self, recipe: Recipe, vocabulary: int) -> None:
        try:
            self._group = _Group(recipe=recipe, vocabulary=vocabulary, mesh=join_alone())
            self.build(initialise=True)
            zeros = torch.zeros(recipe.batch.micro_sequences, recipe.data.sequence_length, dtype=torch.int64)
            passes = [_Tokens(inputs=zeros, targets=zeros)] * 2  # the first without, the last with reduction
            no_totals = np.zeros(1, dtype=np.int64)
            step = self.train_step(passes, learning_rate=0.0, totals=no_totals, before_update=self.sync)
            step.loss.result()
        finally:
            self.teardown()

    def setup(self, recipe: Recipe, vocabulary: int, context: RankContext) -> None:
        self._group = _Group(recipe=recipe, vocabulary=vocabulary, mesh=join(context))

    def build(self, *, initialise: bool) -> None:
        group = self._joined
        plan = blueprint(group.recipe.model, group.vocabulary)
        seed = group.recipe.seed if initialise else None
        layers = PlainLayers(loss_tokens=group.recipe.batch.tokens)
        model = build_sharded(plan, layers, group.mesh, seed=seed)
        optimizer = ShardedAdamW(model, group.recipe.optimizer, plan.sharding)
        self._training = _Training(model=model, optimizer=optimizer)

    def state(self) -> Mapping[str, LogicalShard]:
        return self._built.optimizer.state()

    def train_step(
        self,
        microbatches: Sequence[MicroBatch],
        *,
        learning_rate: float,
        totals: npt.NDArray[np.int64],
        before_update: Callable[[], None],
    ) -> StepOut:
        group, training = self._joined, self._built
        loss = self._accumulate_gradients(microbatches)
        before_update()
        # no rank leaves a sum before all have entered it: this is the fence that the protocol promises
        sums = torch.stack((loss, training.optimizer.squared_gradient_norm()))
        dist.all_reduce(sums)
        summed_totals = torch.tensor(totals, device=group.device)
        dist.all_reduce(summed_totals)
        gradient_norm = sums[1].sqrt()
        training.optimizer.step(
            learning_rate=learning_rate,
            gradient_norm=gradient_norm,
            gradient_clip=group.recipe.optimizer.gradient_clip,
        )
        return StepOut(
            loss=_Scalar(tensor=sums[0]),
            gradient_norm=_Scalar(tensor=gradient_norm),
            totals=summed_totals.cpu().numpy(),
        )

    def sync(self) -> None:
        if self._joined.device.type == "cuda":
            torch.cuda.synchronize(self._joined.device)

    def teardown(self) -> None:
        self._training = None
        self._group = None
        leave()

    def _accumulate_gradients(self, microbatches: Sequence[MicroBatch]) -> torch.Tensor:
        """Forward and backward of all passes; this rank's part of the mean loss over the global batch, a scalar."""
        group, model = self._joined, self._built.model
        loss = torch.zeros((), device=group.device)
        for number, batch in enumerate(microbatches, start=1):
            # gradients are reduced over ranks once, in the last pass
            model.set_requires_gradient_sync(number == len(microbatches))
            logits = model(batch.inputs.to(group.device)).flatten(0, 1)
            targets = batch.targets.to(group.device).flatten()
            # a sum over the global number of tokens, so that adding up passes and ranks gives the exact mean
            part = F.cross_entropy(logits.float(), targets, reduction="sum") / group.recipe.batch.tokens
            torch.autograd.backward(part)
            loss += part.detach()
        return loss

    @property
    def _joined(self) -> _Group:
        assert self._group is not None, "setup comes first"
        return self._group

    @property
    def _built(self) -> _Training:
        assert self._training is not None, "build comes first"
        return self._training
