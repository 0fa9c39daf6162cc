"""Choose the degrees that a recipe leaves to the planner: the least model parallel that fits into memory. Pure.

Every rank that shares a layer talks to the others within it, so of the layouts that fit the one with the fewest such
ranks is taken: tensor parallel before context parallel before the pipeline, tensor parallel never beyond a node, and
experts on as many ranks as memory needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from itertools import product

from paceline.catalog.instance_types import instance_types
from paceline.models.families import FAMILIES
from paceline.plan import rule_of_thumb
from paceline.plan.layout import Layout, derive
from paceline.plan.memory import memory
from paceline.plan.neuron import tp_degrees
from paceline.recipe.load import Resolved, complete
from paceline.recipe.resolve import PLANNED
from paceline.recipe.schema import Recipe
from paceline.spec.documents import Document, Origin
from paceline.spec.errors import RecipeError

MOST_EXPERT_RANKS = 8
"""Beyond a node's eight GPUs, exchanging tokens costs more than it saves: awslabs/awsome-distributed-ai,
3.test_cases/megatron/megatron-bridge/qwen3-30b/benchmarks/RESULTS.md."""

MOST_STAGES = 16
"""As Llama 3 405B was trained on up to 16 thousand GPUs (arXiv 2407.21783, table 4)."""

_FREE = 0.9  # share of a rank's memory that a plan may fill: the rest is for libraries, collectives and fragments
_GIB = 1 << 30
_LEAST_POSITIONS = 4096  # of a rank: with fewer, context parallel waits for its ring


def _counted(recipe: Recipe, layout: Layout) -> dict[str, int]:
    """Of the rank of the pipeline that holds most, tensor by tensor."""
    return asdict(max(memory(recipe, layout), key=lambda rank: rank.total))


BytesByComponent = Callable[[Recipe, Layout], dict[str, int]]
MEMORY: Mapping[str, BytesByComponent] = {
    "torch": _counted,
    "deepspeed": rule_of_thumb.components,
    "nxd": rule_of_thumb.components,
}
"""By engine, what a rank needs."""


class TooLargeError(RecipeError):
    """No layout fits into memory."""


def settle(resolved: Resolved, *, nodes: int, processes_per_node: int) -> Resolved:
    """`resolved` with the degrees for so many ranks in place of `parallelism.auto`; unchanged without it.

    RecipeError when no layout shares the batch, with the reasons of the simplest; TooLargeError when none fits into the
    memory of the instance type, with what the nearest needs. Where no instance type is named, memory is not asked.
    """
    recipe = resolved.recipe
    if not recipe.parallelism.auto:
        return resolved
    world, budget = nodes * processes_per_node, _budget(recipe)
    origin = Origin(source=f"auto, for {nodes} x {processes_per_node} ranks")
    refused: RecipeError | None = None
    nearest: tuple[int, Resolved] | None = None
    for degrees in _candidates(recipe, processes_per_node):
        try:
            found = complete(_written(recipe, degrees, origin).over(resolved.document))
            layout = derive(found.recipe, world)
        except RecipeError as cause:
            refused = refused or cause
            continue
        if budget is None:
            return found
        needed = rule_of_thumb.at_least(found.recipe, layout)
        if needed <= budget:  # or counting would be in vain
            needed = bytes_per_rank(found.recipe, layout)
        if needed <= budget:
            return found
        if nearest is None or needed < nearest[0]:
            nearest = needed, found
    if nearest is None:
        assert refused is not None, "there is at least one candidate"
        raise refused
    raise _too_large(recipe, nodes, *nearest)


def alternatives(resolved: Resolved, *, nodes: int, processes_per_node: int) -> Iterator[tuple[Resolved, Layout, int]]:
    """Every layout that shares the batch and fits into memory, with the bytes that a rank needs, in the order in which
    `settle` tries them: it takes the first. Without `parallelism.auto` it is the one that is written."""
    recipe, world = resolved.recipe, nodes * processes_per_node
    budget, origin = _budget(recipe), Origin(source=f"auto, for {nodes} x {processes_per_node} ranks")
    if not recipe.parallelism.auto:
        layout = derive(recipe, world)
        yield resolved, layout, bytes_per_rank(recipe, layout)
        return
    for degrees in _candidates(recipe, processes_per_node):
        try:
            found = complete(_written(recipe, degrees, origin).over(resolved.document))
            layout = derive(found.recipe, world)
        except RecipeError:
            continue
        if budget is not None and rule_of_thumb.at_least(found.recipe, layout) > budget:
            continue
        needed = bytes_per_rank(found.recipe, layout)
        if budget is None or needed <= budget:
            yield found, layout, needed


def bytes_per_rank(recipe: Recipe, layout: Layout) -> int:
    """What the rank that holds most needs."""
    return sum(MEMORY[recipe.engine](recipe, layout).values())


def fewest_nodes(resolved: Resolved, *, most: int = 1024) -> tuple[int, Resolved]:
    """The smallest power of two of nodes of its instance type on which the recipe trains, and the recipe settled there.

    RecipeError when there is none up to `most`: TooLargeError of the last number, or what is wrong with one node.
    """
    processes = resolved.recipe.platform.processes_per_node or 1
    refused: list[RecipeError] = []
    nodes = 1
    while nodes <= most:
        try:
            found = settle(resolved, nodes=nodes, processes_per_node=processes)
            derive(found.recipe, nodes * processes)
        except RecipeError as cause:
            refused.append(cause)
            nodes *= 2
        else:
            return nodes, found
    raise next((cause for cause in reversed(refused) if isinstance(cause, TooLargeError)), refused[0])


def _candidates(recipe: Recipe, processes_per_node: int) -> Iterator[dict[str, int]]:
    """Degrees of all axes, the simplest first; one that is written above 1 stays."""
    chosen, config = recipe.parallelism, FAMILIES[recipe.model.family].preset(recipe.model.preset)
    routing = getattr(config, "routing", None)
    within_node = [n for n in range(1, processes_per_node + 1) if processes_per_node % n == 0]
    rings = recipe.data.sequence_length // _LEAST_POSITIONS
    free = {
        "tp": [n for n in tp_degrees(recipe) if n in within_node] if recipe.engine == "nxd" else within_node,
        "cp": _powers_of_two(max(rings, 1)),
        "pp": _powers_of_two(min(config.num_hidden_layers, MOST_STAGES)),
        "ep": _powers_of_two(min(routing.experts, MOST_EXPERT_RANKS)) if routing else [1],
    }
    options = [[degree] if (degree := getattr(chosen, axis)) > 1 else free[axis] for axis in PLANNED]
    every = [dict(zip(PLANNED, degrees, strict=True)) for degrees in product(*options)]
    yield from sorted(every, key=lambda d: (d["tp"] * d["cp"] * d["pp"], d["pp"], d["cp"], d["ep"]))


def _powers_of_two(most: int) -> list[int]:
    return [1 << n for n in range(most.bit_length())]


def _written(recipe: Recipe, degrees: Mapping[str, int], origin: Origin) -> Document:
    raised = {axis: degree for axis, degree in degrees.items() if degree != getattr(recipe.parallelism, axis)}
    section = {"auto": False, **raised}
    return Document(data={"parallelism": section}, origins={("parallelism", axis): origin for axis in section})


def _budget(recipe: Recipe) -> int | None:
    """Bytes that a plan may fill; None where nothing is known of the machine."""
    memory = instance_types()[recipe.instance].memory_gib_per_process if recipe.instance else None
    return None if memory is None else int(memory * _GIB * _FREE)


def _too_large(recipe: Recipe, nodes: int, needed: int, nearest: Resolved) -> TooLargeError:
    chosen, budget = nearest.recipe.parallelism, _budget(recipe)
    assert budget is not None
    degrees = ", ".join(f"{axis} {getattr(chosen, axis)}" for axis in PLANNED if getattr(chosen, axis) > 1) or "no axis"
    cures = ["use more nodes"]
    if recipe.compute.activation_checkpointing != "full":
        cures.append("set compute.activation_checkpointing to full")
    if recipe.batch.micro_sequences > 1:
        cures.append("lower batch.micro_sequences")
    return TooLargeError(
        f"parallelism: no layout of {nodes} x {recipe.instance} fits: the nearest ({degrees}) needs"
        f" {needed / _GIB:.0f} GiB a rank, and {budget / _GIB:.0f} are free",
        ", or ".join(cures),
    )
