"""What the loop asks of an engine. No torch is imported here, and the loop knows engines by this protocol only.

Data, schedule, logging, cadence of checkpoints and faults are the loop's. An engine owns the devices, the collectives
and the tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from paceline.plan.layout import Layout
from paceline.recipe.schema import Recipe

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendezvous:
    """Where the ranks of a generation meet. Rank 0 serves it, on the listening socket it was handed, if it was."""

    host: str
    port: int
    listen_fd: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RankContext:
    """One rank's place in one generation of a run."""

    rank: int
    world_size: int
    generation: int
    rendezvous: Rendezvous


IGNORED = -100
"""A target that is not predicted: it adds nothing to a loss."""


class MicroBatch(Protocol):
    """Token ids of one forward pass of one rank, each [micro_sequences, sequence_length], int64.

    `documents` numbers the documents of a sequence, none of which sees another; None: all positions are one document.
    """

    @property
    def inputs(self) -> torch.Tensor: ...

    @property
    def targets(self) -> torch.Tensor: ...

    @property
    def documents(self) -> torch.Tensor | None: ...


class Metric(Protocol):
    """A number that the device may still be computing."""

    def result(self) -> float:
        """Wait for the number. It may force the device, so ask once the next step is under way, or rarely."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """Asks for testimonies about a step (engines/watch.py). `recompute` holds the passes of up to two other data ranks,
    which this rank takes before its own, and whose gradients it throws away; empty on most steps."""

    recompute: tuple[Sequence[MicroBatch], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOut:
    """What one optimizer step gave, equal on all ranks.

    `loss` is the mean over the global batch in nats per token, or per pair, before the update; `gradient_norm` is the
    global L2 norm before clipping; `totals` is the sum over ranks of the totals given to the step, modulo 2**64;
    `metrics` are more means over the global batch, of the method's own (engines/objectives). `testimonies` are those
    of all ranks, [world_size, watch.WORDS], if they were asked for. `compute_seconds` alone is not equal: what this
    rank computed in the step, or a fixed part of it, without waiting; None where that cannot be told.
    """

    loss: Metric
    gradient_norm: Metric
    totals: npt.NDArray[np.int64]
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    testimonies: npt.NDArray[np.int64] | None = None
    compute_seconds: Metric | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LogicalShard:
    """This rank's part of a logical tensor: `tensor` begins at `offset` of the whole, which has `global_shape`.

    `tensor` is the live storage: contiguous, possibly empty; writing into it changes the state. A tensor that every
    rank holds whole has offset zero and its full shape everywhere. An `offset` of one number in a tensor of more
    dimensions begins a run (paceline/engines/runs.py).
    """

    tensor: torch.Tensor
    global_shape: tuple[int, ...]
    offset: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What an engine can do: on which accelerators, along which axes it can split the work, and here in which
    precisions."""

    accelerators: tuple[str, ...]
    axes: tuple[str, ...]
    precisions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """What a rank computes on: the name that the vendor's driver gives it, or `cpu`; the most memory held so far."""

    name: str
    peak_memory_bytes: int


class Engine(Protocol):
    """Trains one model on the ranks of one generation. Calls come in the order in which they are listed.

    All ranks make the same calls; `setup`, `train_step`, `eval_step` and nothing else may wait for peers. After
    `teardown` the engine can be set up again, in the same process.
    """

    name: ClassVar[str]

    def capabilities(self) -> Capabilities: ...

    def plan(self, recipe: Recipe, world_size: int) -> Layout:
        """How `world_size` ranks share the global batch; RecipeError if they cannot. Pure."""
        ...

    def rehearse(self, recipe: Recipe, vocabulary: int) -> None:
        """Pay every first-call cost in this process, without peers: build, one step on zeros, teardown.

        Of a model whose layers are alike some are enough: others train beside this process.
        """
        ...

    def setup(self, recipe: Recipe, vocabulary: int, context: RankContext) -> None:
        """Join the peers of `context`'s generation. `vocabulary` is the dataset's number of token ids."""
        ...

    def build(self, *, initialise: bool) -> None:
        """Make the model and the optimizer state, sharded from the start.

        Without `initialise` the parameters hold anything until the caller fills `state`. With it they are a function
        of the recipe's seed that does not depend on the number of ranks; but for those that `model.weights` holds.
        """
        ...

    def frozen(self) -> AbstractContextManager[Mapping[str, LogicalShard]]:
        """What training reads and never changes, by Hugging Face names: the model under adapters, or the one that a
        preference is measured against. Not part of `state`, and empty where everything learns.

        The caller fills it once, before the first step; what is to be quantised is when the context ends.
        """
        ...

    def state(self) -> Mapping[str, LogicalShard]:
        """All that a checkpoint must hold, complete before the first step.

        Parameters that learn by their Hugging Face names; of each, `optimizer.exp_avg.<name>`,
        `optimizer.exp_avg_sq.<name>` and `optimizer.step.<name>`. The tensors stay the same objects until `teardown`.
        """
        ...

    def train_step(
        self,
        microbatches: Sequence[MicroBatch],
        *,
        learning_rate: float,
        totals: npt.NDArray[np.int64],
        before_update: Callable[[], None],
        watch: Watch | None = None,
    ) -> StepOut:
        """One optimizer step on this rank's `microbatches`.

        The order is: all forward and backward passes; `before_update()`; the sums over ranks of loss, gradient norm
        and `totals`; clipping; the update. The sums are a fence: no rank changes its parameters or optimizer state
        before every rank has returned from `before_update`. What `before_update` raises ends the step before the fence.
        With `watch`, which needs a seal, all ranks testify about the step.
        """
        ...

    def seal(self) -> None:
        """Remember the fingerprint of the state as it is now. The device is not waited for."""
        ...

    def altered(self) -> bool:
        """Whether the state of this rank is another than it sealed. It forces the device."""
        ...

    def eval_step(self, microbatch: MicroBatch) -> npt.NDArray[np.float64]:
        """The loss of each sequence in nats, summed over its targets that are not IGNORED; nothing is learned.

        Of all parts of the batch, in their order: [parts * micro_sequences]. Every rank gives a pass of the same shape
        as in training; ranks that share a part give the same.
        """
        ...

    def device(self) -> Device:
        """What this rank computes on, after `setup`."""
        ...

    def recent_collectives(self) -> bytes:
        """The flight record of its collectives, in PyTorch's JSON; empty without one. Asked at any time, by another
        thread, also while a call waits for peers for ever."""
        ...

    def sync(self) -> None:
        """Wait until the device has done all that was asked. The only place where the loop may force it."""
        ...

    def teardown(self) -> None:
        """Leave the peers and free the tensors. Safe after a failure, and twice."""
        ...
