"""The plan of a run before anything is bought: layouts, memory, time, checkpoints, failures, cost. Pure.

What cannot be computed because a fact is missing is None, and `unknown` says which fact and what would supply it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from paceline.catalog.failure_rates import failure_rates
from paceline.catalog.instance_types import instance_type
from paceline.models.families import FAMILIES
from paceline.plan.auto import MEMORY, alternatives, fewest_nodes, settle
from paceline.plan.cadence import failures_per_second, interval, steps_between
from paceline.plan.expectation import DAY, Expectation, expectation
from paceline.plan.flops import flops_per_token
from paceline.plan.hardware import GIB, TERA, Hardware
from paceline.plan.layout import Layout, derive
from paceline.plan.memory import state_bytes
from paceline.plan.rate import Rate, assumed, published
from paceline.plan.step_time import step_time
from paceline.recipe.load import Resolved
from paceline.recipe.schema import Recipe
from paceline.spec.base import Record
from paceline.spec.errors import RecipeError

MOST_LAYOUTS = 8
"""How many are listed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a plan is asked beside its recipe. `nodes` None: the fewest that fit. `rate`, or the `efficiency` that is
    believed in, stands for published runs. `rates` and `recovery` are rows of the catalog's failure rates; `rates`
    None: those of Llama 3 for GPUs. `replace_within` is in seconds, `storage` in bytes per second, `price` that of an
    instance-hour."""

    nodes: int | None = None
    rate: Rate | None = None
    efficiency: float | None = None
    rates: str | None = None
    recovery: str
    replace_within: float
    confidence: float
    storage: float | None = None
    price: float | None = None


class Choice(Record):
    """A layout that shares the batch and fits. `chosen` is the one that the run takes: that with the fewest ranks which
    share a layer."""

    degrees: dict[str, int]
    micro_sequences: int
    micro_steps: int
    memory_gib_per_rank: float
    step_seconds: float | None
    chosen: bool


class Assumption(Record):
    """How fast a rank computes while it computes, and who says so."""

    tflops_per_second: float
    share_of_peak: float | None
    kind: str
    source: str


class Checkpoint(Record):
    """One checkpoint. Seconds are lower bounds: what the slowest link on the way takes for the largest share.
    `every_steps` one is made durable: as the recipe says, or as `cadence: auto` decides where it stalls training for as
    long as the way to memory takes."""

    gib: float
    gib_per_rank: float
    to_memory_seconds: float | None
    to_buddy_seconds: float | None
    to_storage_seconds: float | None
    every_steps: int | None


class Plan(Record):
    """`memory_gib_per_rank`, `step_seconds` and all that follows are of the chosen layout; `layouts` are ranked by
    predicted time, where that is known. `days` are without faults, `expected_days` with them. `mfu` is over the dense
    bfloat16 peak, with attention counted in full."""

    recipe: str
    instance: str
    nodes: int
    ranks: int
    engine: str
    layouts: tuple[Choice, ...]
    memory_gib_per_rank: dict[str, float]
    memory_gib_available: float | None
    tokens_per_step: int
    step_seconds: float | None
    step_seconds_by_part: dict[str, float] | None
    tokens_per_day: float | None
    days: float | None
    mfu: float | None
    assumption: Assumption | None
    checkpoint: Checkpoint
    spares: int | None
    expected_goodput: float | None
    expectation: Expectation | None
    expected_days: float | None
    graphs_to_compile: int | None
    cost: float | None
    unknown: dict[str, str]


def plan(resolved: Resolved, question: Question) -> Plan:
    """The plan of a run; RecipeError when nothing fits, or no layout shares the batch."""
    recipe = resolved.recipe
    processes, nodes = recipe.platform.processes_per_node or 1, question.nodes
    if nodes is None:
        nodes, settled = fewest_nodes(resolved)
    else:
        settled = settle(resolved, nodes=nodes, processes_per_node=processes)
    layout = derive(settled.recipe, nodes * processes)
    hardware = _hardware(recipe, processes)
    unknown: dict[str, str] = {}
    rate = _rate(recipe, hardware, question, unknown)
    timed = _timed(settled.recipe, layout, hardware, rate, unknown)
    needed = {name: bytes_ / GIB for name, bytes_ in MEMORY[recipe.engine](settled.recipe, layout).items()}
    tokens, seconds = recipe.batch.tokens, None if timed is None else sum(timed.values())
    days = None if seconds is None else seconds * recipe.schedule.steps / DAY
    failures = _failures(recipe, nodes, question, unknown)
    expected = None if days is None or failures is None or not failures.goodput else days / failures.goodput
    return Plan(
        recipe=recipe.name,
        instance=hardware.name,
        nodes=nodes,
        ranks=layout.world_size,
        engine=recipe.engine,
        layouts=_ranked(resolved, layout, nodes, hardware, rate),
        memory_gib_per_rank={**needed, "total": sum(needed.values())},
        memory_gib_available=None if hardware.memory is None else hardware.memory / GIB,
        tokens_per_step=tokens,
        step_seconds=seconds,
        step_seconds_by_part=timed,
        tokens_per_day=None if seconds is None else tokens / seconds * DAY,
        days=days,
        mfu=_mfu(recipe, layout, hardware, seconds),
        assumption=_assumption(rate, hardware),
        checkpoint=_checkpoint(settled.recipe, nodes, layout, hardware, question, seconds, unknown),
        spares=None if failures is None else failures.spares,
        expected_goodput=None if failures is None else failures.goodput,
        expectation=failures,
        expected_days=expected,
        graphs_to_compile=_graphs(recipe, layout),
        cost=_cost(nodes, failures, expected, question, unknown),
        unknown=unknown,
    )


def _hardware(recipe: Recipe, processes: int) -> Hardware:
    return Hardware(name="cpu", processes=processes) if recipe.instance is None else Hardware.of(recipe.instance)


def _rate(recipe: Recipe, hardware: Hardware, question: Question, unknown: dict[str, str]) -> Rate | None:
    if question.rate is not None:
        return question.rate
    if question.efficiency is not None:
        return assumed(hardware, question.efficiency)
    precision = recipe.compute.precision
    width = FAMILIES[recipe.model.family].preset(recipe.model.preset).hidden_size
    found = None if recipe.instance is None else published(recipe.instance, precision, width)
    if found is None:
        unknown["step_seconds"] = (
            f"no published run says how fast {hardware.name} computes in {precision}: calibrate with one of yours"
            " (--calibrate RUN), or assume a share of the peak (--efficiency)"
        )
    return found


def _timed(
    recipe: Recipe, layout: Layout, hardware: Hardware, rate: Rate | None, unknown: dict[str, str]
) -> dict[str, float] | None:
    """Seconds of a step by what they are spent on."""
    if rate is None:
        return None
    try:
        return asdict(step_time(recipe, layout, hardware, rate.flops_per_second, links_in_rate=rate.links_in_it))
    except RecipeError as cause:
        unknown["step_seconds"] = str(cause)
        return None


def _ranked(resolved: Resolved, taken: Layout, nodes: int, hardware: Hardware, rate: Rate | None) -> tuple[Choice, ...]:
    found = []
    for candidate, layout, needed in alternatives(resolved, nodes=nodes, processes_per_node=taken.world_size // nodes):
        timed = _timed(candidate.recipe, layout, hardware, rate, {})
        found.append(
            Choice(
                degrees=layout.degrees,
                micro_sequences=layout.micro_sequences,
                micro_steps=layout.micro_steps,
                memory_gib_per_rank=needed / GIB,
                step_seconds=None if timed is None else sum(timed.values()),
                chosen=layout == taken,
            )
        )
    ranked = sorted(found, key=lambda each: (each.step_seconds is None, each.step_seconds or 0.0))
    return tuple(each for number, each in enumerate(ranked) if number < MOST_LAYOUTS or each.chosen)


def _mfu(recipe: Recipe, layout: Layout, hardware: Hardware, seconds: float | None) -> float | None:
    if seconds is None or hardware.peak is None:
        return None
    config = FAMILIES[recipe.model.family].preset(recipe.model.preset)
    needed = recipe.batch.tokens * flops_per_token(config, recipe.data.sequence_length)
    return needed / (seconds * hardware.peak * layout.world_size)


def _assumption(rate: Rate | None, hardware: Hardware) -> Assumption | None:
    if rate is None:
        return None
    return Assumption(
        tflops_per_second=rate.flops_per_second / TERA,
        share_of_peak=None if hardware.peak is None else rate.flops_per_second / hardware.peak,
        kind=rate.kind,
        source=rate.source,
    )


def _checkpoint(
    recipe: Recipe,
    nodes: int,
    layout: Layout,
    hardware: Hardware,
    question: Question,
    step_seconds: float | None,
    unknown: dict[str, str],
) -> Checkpoint:
    """Copies of a shard are written once: by the first of those that hold the same."""
    whole = state_bytes(recipe)
    of_rank = whole * layout.dp_replicate / layout.world_size
    of_node = of_rank * layout.world_size / nodes
    for field, known, missing in (
        ("to_memory_seconds", hardware.to_host, f"no bandwidth from {hardware.name}'s accelerators to its host"),
        ("to_buddy_seconds", hardware.over_ip, f"no IP bandwidth of {hardware.name}"),
        ("to_storage_seconds", question.storage, "no throughput of the storage: --storage-gb-per-second"),
    ):
        if known is None:
            unknown[f"checkpoint.{field}"] = missing
    to_memory = None if hardware.to_host is None else of_rank / hardware.to_host
    to_storage = None if question.storage is None else whole / question.storage
    every: int | None = recipe.checkpoint.persist_every
    if recipe.checkpoint.cadence == "auto":
        every = _cadence(recipe, layout.world_size, to_memory, to_storage, step_seconds)
        if every is None:
            unknown["checkpoint.every_steps"] = "`cadence: auto` follows from the time of a step and of a checkpoint"
    return Checkpoint(
        gib=whole / GIB,
        gib_per_rank=of_rank / GIB,
        to_memory_seconds=to_memory,
        to_buddy_seconds=None if hardware.over_ip is None else of_node / hardware.over_ip,
        to_storage_seconds=to_storage,
        every_steps=every,
    )


def _cadence(
    recipe: Recipe, ranks: int, stall: float | None, absorb: float | None, step_seconds: float | None
) -> int | None:
    if stall is None or absorb is None or step_seconds is None:
        return None
    per_second = failures_per_second(ranks, failure_rates().rates[recipe.checkpoint.failures])
    return steps_between(interval(stall, absorb, per_second), step_seconds)


def _failures(recipe: Recipe, nodes: int, question: Question, unknown: dict[str, str]) -> Expectation | None:
    row = None if recipe.instance is None else instance_type(recipe.instance)
    rates = question.rates or ("llama3" if row is not None and row.family == "nvidia" else None)
    if row is None or row.accelerator_count is None or rates is None:
        what = "nodes without accelerators" if row is None else row.accelerator
        unknown["expected_goodput"] = (
            f"nobody has published how often {what} fail: take the rate of others with --rates"
        )
        return None
    return expectation(
        nodes * row.accelerator_count,
        nodes,
        failure_rates(),
        rates=rates,
        recovery=question.recovery,
        replace_within=question.replace_within,
        confidence=question.confidence,
    )


def _graphs(recipe: Recipe, layout: Layout) -> int | None:
    """At least: a pass and the update, or with a pipeline a pass forward, one backward and the update of each kind of
    stage (first, middle, last); and a pass of evaluation. None where nothing is compiled ahead."""
    if not recipe.platform.compile_ahead:
        return None
    stages = min(layout.pp, 3)
    evaluation = stages if recipe.evaluation.every else 0
    return stages * (2 if layout.pp == 1 else 3) + evaluation


def _cost(
    nodes: int, failures: Expectation | None, days: float | None, question: Question, unknown: dict[str, str]
) -> float | None:
    """Of all nodes that the run needs, and of its spares, to the last step."""
    if question.price is None:
        unknown["cost"] = "no price is given: --price-per-hour"
        return None
    if failures is None or days is None:
        unknown["cost"] = "nobody knows how long the run takes"
        return None
    return (nodes + failures.spares) * 24 * days * question.price
