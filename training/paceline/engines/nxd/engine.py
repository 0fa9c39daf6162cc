"""NeuronX Distributed on Trainium: the same models, methods and names as the engine `torch`.

Every pass, and the update, is a graph that `mark_step` cuts; nothing between asks the device for a number.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import neuronx_distributed as nxd
import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
import torch_xla.core.xla_model as xm
from neuronx_distributed.parallel_layers import parallel_state
from torch import Tensor, nn

from paceline.engines.base import Capabilities, Device, Engine, LogicalShard, MicroBatch, RankContext, StepOut, Watch
from paceline.engines.nxd import model as models
from paceline.engines.nxd.metrics import Arrivals
from paceline.engines.nxd.model import Part, precision
from paceline.engines.nxd.optimizer import Zero1AdamW
from paceline.engines.nxd.passes import Accumulation, Passes, Pipeline
from paceline.engines.nxd.pipeline import as_list, stages
from paceline.engines.nxd.process_group import join, join_alone, leave, on_cpu
from paceline.engines.objectives.base import Objective
from paceline.engines.objectives.registry import objective
from paceline.engines.torch import flight_recorder
from paceline.models import adapter
from paceline.models.decoder import DecoderLayer
from paceline.models.registry import blueprint
from paceline.plan.layout import Layout, derive
from paceline.recipe.schema import Parallelism, Recipe
from paceline.spec.errors import RecipeError

# which modules forget what they computed: whole classes, as NeuronX Distributed wants it
_COMPUTED_AGAIN: Mapping[str, type[nn.Module] | None] = {"none": None, "selective": nn.RMSNorm, "full": DecoderLayer}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    """What `setup` made. `hosts` joins all ranks without their devices."""

    recipe: Recipe
    vocabulary: int
    layout: Layout
    hosts: dist.ProcessGroup
    config: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Training:
    """What `build` made."""

    objective: Objective
    frozen: Part
    passes: Passes
    optimizer: Zero1AdamW


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tokens:
    inputs: Tensor
    targets: Tensor
    documents: Tensor | None = None


class NxdEngine(Engine):
    """See `paceline.engines.base.Engine`."""

    name: ClassVar[str] = "nxd"

    def __init__(self) -> None:
        self._group: _Group | None = None
        self._training: _Training | None = None

    def capabilities(self) -> Capabilities:
        return Capabilities(
            accelerators=("trainium",),
            axes=("pp", "dp_shard", "cp", "tp"),
            precisions=("float32", "bfloat16"),
        )

    def plan(self, recipe: Recipe, world_size: int) -> Layout:
        return derive(recipe, world_size)

    def rehearse(self, recipe: Recipe, vocabulary: int) -> None:
        if not on_cpu():
            return  # a core belongs to one process, and those of a standby's node are another's: imports must do
        chosen = recipe.parallelism.model_copy(update=Parallelism(zero=1).model_dump())
        alone = {"parallelism": chosen, "model": recipe.model.model_copy(update={"weights": None})}
        recipe = recipe.model_copy(update=alone)
        try:
            self._join(recipe, vocabulary, derive(recipe, 1), join_alone())
            self.build(initialise=True)
            zeros = torch.zeros(recipe.batch.micro_sequences, recipe.data.sequence_length, dtype=torch.int64)
            no_totals = np.zeros(1, dtype=np.int64)
            passes = [_Tokens(inputs=zeros, targets=zeros)]
            step = self.train_step(passes, learning_rate=0.0, totals=no_totals, before_update=self.sync)
            step.loss.result()
        finally:
            self.teardown()

    def setup(self, recipe: Recipe, vocabulary: int, context: RankContext) -> None:
        layout = derive(recipe, context.world_size)
        if vocabulary % layout.tp:
            raise RecipeError(
                f"parallelism.tp: {layout.tp} ranks cannot share {vocabulary} token ids evenly, as NeuronX Distributed"
                " needs it",
                f"prepare the data with a tokenizer of {-(-vocabulary // layout.tp) * layout.tp} ids, or lower tp",
            )
        hosts = join(context, recipe.platform.processes_per_node or context.world_size)
        self._join(recipe, vocabulary, layout, hosts)

    def build(self, *, initialise: bool) -> None:
        group, recipe = self._joined, self._joined.recipe
        plan = blueprint(recipe.model, group.vocabulary)
        minimised, seed = objective(recipe), recipe.seed if initialise else None
        part = models.build(plan, recipe, learns=None if recipe.adapter is None else adapter.learns)
        reference: Part | None = None
        if minimised.needs_reference and recipe.adapter is None:
            reference = models.build(plan, recipe, learns=lambda name: False)
        for one in (part, reference):
            if one is not None:
                own = [one.model] if group.layout.pp == 1 else _own_stage(one, group.layout.pp)
                models.give_memory(own, precision(recipe))
                models.give_first_values(one, recipe, plan.initializer_range, seed)
        passes: Passes
        if group.layout.pp == 1:
            other = None if reference is None else reference.model.to(xm.xla_device())
            passes = Accumulation(group.config, part.model, other, minimised)
        else:
            passes = Pipeline(group.config, part.model, minimised, group.layout.micro_steps)
        self._training = _Training(
            objective=minimised,
            frozen=reference or part,
            passes=passes,
            optimizer=Zero1AdamW(group.config, part, recipe.optimizer),
        )

    @contextmanager
    def frozen(self) -> Iterator[Mapping[str, LogicalShard]]:
        yield {
            holding.name: LogicalShard(
                tensor=parameter.detach(), global_shape=holding.global_shape, offset=holding.offset
            )
            for holding, parameter in self._built.frozen.frozen()
        }

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
        assert watch is None, "paceline.recipe.engines refuses the sentinel, whose integers the device has not"
        training = self._built
        training.optimizer.adopt()
        terms = training.passes.run(microbatches, training.objective.count or self._count(microbatches))
        before_update()
        # no rank leaves this sum before all have entered it: it is the fence that the protocol promises
        summed_totals = torch.tensor(totals)
        dist.all_reduce(summed_totals, group=self._joined.hosts)
        gradient_norm = training.optimizer.step(learning_rate)
        # every rank of tp has the same; divided and not left out, so that all have the same graph
        means = torch.stack((terms.loss, *terms.metrics.values())) / self._joined.layout.tp
        sums: Tensor = xm.all_reduce(xm.REDUCE_SUM, means)
        arrivals = Arrivals(torch.cat((gradient_norm.unsqueeze(0), sums)))
        xm.mark_step()
        return StepOut(
            loss=arrivals.metric(1),
            gradient_norm=arrivals.metric(0),
            totals=summed_totals.numpy(),
            metrics={name: arrivals.metric(number) for number, name in enumerate(terms.metrics, start=2)},
        )

    def _count(self, microbatches: Sequence[MicroBatch]) -> Tensor:
        """The terms of the global batch, where only the data says how many there are."""
        layout, objective = self._joined.layout, self._built.objective
        total = torch.tensor(sum(objective.count_in(batch.targets) for batch in microbatches))
        dist.all_reduce(total, group=self._joined.hosts)
        return total // (layout.world_size // layout.data_ranks)

    @torch.no_grad()
    def eval_step(self, microbatch: MicroBatch) -> npt.NDArray[np.float64]:
        layout, passes = self._joined.layout, self._built.passes
        assert isinstance(passes, Accumulation), "recipes do not evaluate in a pipeline"
        self._built.optimizer.adopt()
        own = passes.evaluate(microbatch).cpu().double()
        every = own.new_zeros(layout.data_ranks, len(own))
        if parallel_state.get_tensor_model_parallel_rank() == 0:  # the first accounts for what all have computed
            every[layout.data_rank(dist.get_rank())] = own
        dist.all_reduce(every, group=self._joined.hosts)
        return every.flatten().numpy()

    def device(self) -> Device:
        if on_cpu():
            kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return Device(name="cpu", peak_memory_bytes=kibibytes * 1024)
        used = xm.get_memory_info(xm.xla_device())
        return Device(name=xm.xla_device_hw(xm.xla_device()), peak_memory_bytes=used["peak_bytes_used"])

    def recent_collectives(self) -> bytes:
        return flight_recorder.dump()

    def sync(self) -> None:
        xm.mark_step()
        xm.wait_device_ops()

    def teardown(self) -> None:
        self._training = None
        self._group = None
        leave()

    def _join(self, recipe: Recipe, vocabulary: int, layout: Layout, hosts: dist.ProcessGroup) -> None:
        config = nxd.neuronx_distributed_config(
            tensor_parallel_size=layout.tp,
            pipeline_parallel_size=layout.pp,
            context_parallel_size=layout.cp,
            optimizer_config={
                "zero_one_enabled": True,
                "grad_clipping": True,
                "max_grad_norm": recipe.optimizer.gradient_clip,
            },
            mixed_precision_config={
                "use_master_weights": True,
                "use_fp32_grad_acc": True,
                "use_master_weights_in_ckpt": True,
            },
            activation_checkpoint_config=_COMPUTED_AGAIN[recipe.compute.activation_checkpointing],
            # which parameters need it is noted at each of them: heads' norms do without it, too
            sequence_parallel=layout.tp > 1,
        )
        self._group = _Group(recipe=recipe, vocabulary=vocabulary, layout=layout, hosts=hosts, config=config)

    @property
    def _joined(self) -> _Group:
        assert self._group is not None, "setup comes first"
        return self._group

    @property
    def _built(self) -> _Training:
        assert self._training is not None, "build comes first"
        return self._training


def _own_stage(part: Part, number: int) -> list[Any]:
    """The layers of this rank's stage of a pipeline of `number`."""
    rank = parallel_state.get_pipeline_model_parallel_rank()
    return [layer for layer, stage in stages(as_list(part.model), number).items() if stage == rank]
