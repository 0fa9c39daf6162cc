"""How long a step takes: arithmetic at a rate, what ranks send each other, and the bubble of a pipeline. Pure.

A roofline with one calibrated number, the rate at which a rank computes (plan/rate.py): kernels, launches, norms and
the update are in it. Volumes of tensor parallel are those of Korthikanti et al. (2022), of sharded data parallel
those of FSDP (Zhao et al., 2023) and ZeRO (Rajbhandari et al., 2020), bubbles those of Narayanan et al. (2021) and Qi
et al. (2024). Gathering parameters hides behind arithmetic, a ring of context parallel behind attention; the rest
waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from paceline.models.config import DecoderConfig
from paceline.models.families import FAMILIES
from paceline.plan.hardware import Hardware
from paceline.plan.layout import Layout
from paceline.plan.parameters import blocks, layers_of
from paceline.plan.work import Work, work
from paceline.recipe.schema import Recipe
from paceline.spec.errors import RecipeError

_FLOAT32 = 4
_BYTES = {"float32": 4, "bfloat16": 2, "float8": 2}  # what is sent; float8 is inside of the products only
_ZERO_BUBBLE = 1 / 3
"""Share of 1F1B's bubble that is left when the gradients of weights, a third of a pass, fill it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTime:
    """Seconds of a step, by what they are spent on, on the rank that has most to do. Those of an axis are what is not
    hidden behind arithmetic; `bubble` is what a pipeline waits for."""

    compute: float
    tensor_parallel: float
    context_parallel: float
    expert_parallel: float
    data_parallel: float
    pipeline: float
    bubble: float

    @property
    def total(self) -> float:
        return float(sum(getattr(self, field.name) for field in fields(self)))


Bandwidth = Callable[[int, int], float]


def step_time(
    recipe: Recipe,
    layout: Layout,
    hardware: Hardware,
    rate: float,
    *,
    links_in_rate: bool = False,
    vocabulary: int | None = None,
    recomputed: float | None = None,
) -> StepTime:
    """Of a step of `recipe` when a rank does `rate` FLOP/s. `links_in_rate`: links that are not known cost nothing,
    because the rate was measured with them; RecipeError without it. `recomputed` is as in `work`."""
    config = FAMILIES[recipe.model.family].preset(recipe.model.preset, vocabulary=vocabulary)
    done = work(recipe, config, layout, recomputed=recomputed)

    def bandwidth(ranks: int, stride: int) -> float:
        found = hardware.bandwidth(ranks, stride)
        if found is None and not links_in_rate:
            raise RecipeError(
                f"{hardware.name}: nobody knows how fast {ranks} of its ranks reach each other",
                "calibrate with a run that was recorded there: --calibrate RUN",
            )
        return float("inf") if found is None else found

    of_pass = _Pass(recipe, config, layout, done, bandwidth, again=recomputed)
    passes = layout.micro_steps
    compute = done.total / rate
    tensor, expert, pipeline = of_pass.tensor_parallel(), of_pass.expert_parallel(), of_pass.pipeline()
    context = max(0.0, of_pass.ring() - done.attention / rate)
    one_pass = compute + tensor + expert + context + pipeline
    return StepTime(
        compute=passes * compute,
        tensor_parallel=passes * tensor,
        context_parallel=passes * context,
        expert_parallel=passes * expert,
        data_parallel=_data_parallel(recipe, config, layout, bandwidth, compute),
        pipeline=passes * pipeline,
        bubble=_bubble_passes(recipe) * one_pass,
    )


def _bubble_passes(recipe: Recipe) -> float:
    chosen = recipe.parallelism
    share = _ZERO_BUBBLE if chosen.pp_schedule == "zero_bubble" else 1.0
    return share * (chosen.pp - 1) / chosen.stages_per_rank


@dataclass(frozen=True, slots=True)
class _Pass:
    """Seconds that a rank of one pass sends and receives, forward and backward."""

    recipe: Recipe
    config: DecoderConfig
    layout: Layout
    done: Work
    bandwidth: Bandwidth
    again: float | None

    @property
    def _layers(self) -> int:
        return -(-self.config.num_hidden_layers // self.layout.pp)

    @property
    def _tokens(self) -> float:
        return self.layout.micro_sequences * self.recipe.data.sequence_length / self.layout.cp

    @property
    def _hidden(self) -> float:
        """Bytes of the hidden states of all positions of the pass."""
        return self._tokens * self.config.hidden_size * _BYTES[self.recipe.compute.precision]

    @property
    def _forwards_again(self) -> float:
        if self.again is not None:
            return self.again
        return float(self.recipe.compute.activation_checkpointing == "full")

    def tensor_parallel(self) -> float:
        """Two gathers and two reductions of a layer's hidden states forward, as many backward; and one of each at
        either end of the model."""
        tp = self.layout.tp
        if tp == 1:
            return 0.0
        moved = self._layers * (8 + 4 * self._forwards_again) + 4
        return moved * self._hidden * (tp - 1) / tp / self.bandwidth(tp, 1)

    def ring(self) -> float:
        """Keys and values go round forward, and with their gradients backward."""
        cp, tp = self.layout.cp, self.layout.tp
        if cp == 1:
            return 0.0
        width = 2 * self.config.num_key_value_heads / tp * self.config.head_dim
        block = self._tokens * width * _BYTES[self.recipe.compute.precision]
        return self._layers * (3 + self._forwards_again) * block * (cp - 1) / self.bandwidth(cp, tp)

    def expert_parallel(self) -> float:
        """Rows go to their experts and back, forward and backward."""
        ep, routing = self.layout.ep, getattr(self.config, "routing", None)
        if ep == 1 or routing is None:
            return 0.0
        between = self.layout.tp if self.recipe.parallelism.sequence_parallel else 1
        rows = self._hidden / between * routing.experts_per_token
        moved = self._layers * (4 + 2 * self._forwards_again) * rows * (ep - 1) / ep
        return float(moved / self.bandwidth(ep, self.layout.tp * self.layout.cp))

    def pipeline(self) -> float:
        """Hidden states go to the next stage, their gradients back."""
        pp, chosen = self.layout.pp, self.recipe.parallelism
        if pp == 1:
            return 0.0
        between = self.layout.tp if chosen.sequence_parallel else 1
        sent = 2 * chosen.stages_per_rank * self._hidden / between
        return sent / self.bandwidth(2, self.layout.world_size // pp)


def _data_parallel(
    recipe: Recipe, config: DecoderConfig, layout: Layout, bandwidth: Bandwidth, compute: float
) -> float:
    """What gathering parameters and summing gradients adds to a step whose passes compute for `compute` seconds."""
    chosen, size = recipe.parallelism, _BYTES[recipe.compute.precision]
    shards, passes = layout.dp_shard * layout.cp, layout.micro_steps
    stages = chosen.pp * chosen.stages_per_rank
    own = range(0, stages, chosen.pp)  # the first rank has the embedding; the last, the head
    held = [block for stage in own for block in blocks(config, layout, stage, stages, adapter=recipe.adapter)]
    learned = [block for block in held if not block.frozen]
    seconds = 0.0
    if shards > 1:
        speed, cut = bandwidth(shards, layout.tp), (shards - 1) / shards
        gather = size * sum(block.elements for block in held if not block.quantised) * cut / speed
        reduce = _FLOAT32 * sum(block.elements for block in learned) * cut / speed
        if chosen.zero < 3 or chosen.pp > 1:
            summed = passes if chosen.zero == 2 else 1
            seconds += gather + summed * reduce
        else:
            layers = len(layers_of(config, 0, 1))  # the first to be gathered and the last to be summed hide nowhere
            seconds += (passes - 1) * max(2 * gather - compute, 2 * gather / layers)
            seconds += max(2 * gather + reduce - compute, (2 * gather + reduce) / layers)
    if layout.dp_replicate > 1:
        copies, apart = layout.dp_replicate, layout.tp * layout.cp * layout.dp_shard
        shard = _FLOAT32 * sum(block.sharded_elements for block in learned)
        seconds += 2 * shard * (copies - 1) / copies / bandwidth(copies, apart)
    return seconds
