"""One look of a coordinator, through the production decisions: what it knows afterwards, and what it opens.

The decisions use names and ranks only to choose among nodes that serve alike. A world has neither, so every order of
them is tried, and a look has as many outcomes as that makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import permutations, product
from typing import NamedTuple

from paceline.supervise.fence import Fence
from paceline.supervise.membership import NodeView, Waiting, find_faults, plan_generation, wanted_change
from paceline.supervise.protocol import Assignment, Member, NodeStatus, Restore, WorkersStatus
from tests.membership.world import Mind, Scene, Seen

_ALL_NAMES = "abcdefgh"
Members = tuple[tuple[str, int], ...]  # names and lives


class Outcome(NamedTuple):
    """`opened` is, for each node, which of its supervisors is a member of the generation that was opened; None: none
    was."""

    mind: Mind
    opened: tuple[int, ...] | None = None


class Sight(NamedTuple):
    """What a coordinator has before it: for each node how it is seen, and its lives in each generation."""

    seen: tuple[Seen | None, ...]
    lives: tuple[tuple[int, ...], ...]
    mind: Mind
    outlive: bool


@cache
def look(scene: Scene, sight: Sight) -> tuple[Outcome, ...]:
    """As `Coordinator.hear` and `step`, without what needs time; once if neither names nor ranks are asked for."""
    assert scene.sizes[0] <= 2, "of more ranks there are more orders than up and down"
    outcomes = {}
    for names, up in product(permutations(_ALL_NAMES[: scene.nodes]), (True, False)):
        outcome, has_chosen = _look(scene, sight, names, up)
        outcomes[outcome] = None
        if not has_chosen:
            break
    return tuple(outcomes)


def _look(scene: Scene, sight: Sight, names: Sequence[str], up: bool) -> tuple[Outcome, bool]:
    """One look where the nodes have these `names`, and ranks go `up` with them or down; whether it planned."""
    mind = sight.mind
    members = [
        tuple([member for member in zip(names, lives, strict=True) if member[1] >= 0])
        for lives in zip(*sight.lives, strict=True)
    ]
    generations = [_assignment(number, each, up) for number, each in enumerate(members)]
    views = {
        name: _view(name, seen, members[seen.said.following] if seen.said.following >= 0 else (), up)
        for name, seen in zip(names, sight.seen, strict=True)
        if seen is not None
    }
    fence = Fence(newest=mind.newest, opened=tuple(generations[g] for g in mind.opened)).look(views)
    if sight.outlive:
        fence = fence.outlive(views)
    mind = mind._replace(
        assignment=max([mind.assignment, *(s.said.following for s in sight.seen if s is not None)]),
        opened=tuple(sorted(a.generation for a in fence.opened)),
        newest=fence.newest,
    )
    current = generations[mind.assignment] if mind.assignment >= 0 else None
    is_wanted = False
    if current is not None:
        faults = find_faults(current, views)
        said = [views[m.node].status.workers for m in current.members if m.node in views]
        states = {w.state for w in said if w is not None and w.generation == current.generation}
        paused = len(said) == len(current.members) and states == {"stopped"}
        is_wanted = not faults and not paused
        newest = len(generations) - 1
        if isinstance(faults, Waiting) or (
            is_wanted and not wanted_change(current, views, scene.sizes, (), newest=newest)
        ):
            return Outcome(mind), False
    planned = plan_generation(
        sizes=scene.sizes,
        workers_per_node=1,
        previous=current,
        first_generation=len(generations),
        views=views,
        durable_step=None,
        cause="x",
    )
    if isinstance(planned, Waiting) or fence.hinders(planned):
        return Outcome(mind), True
    if is_wanted and current is not None:
        return Outcome(mind._replace(pause=current.generation)), True
    assert planned.generation == len(generations), "no two generations have one number"
    opened = tuple(a.generation for a in fence.open(planned).opened)
    taken = {m.node: m.peer_port for m in planned.members}
    mind = mind._replace(assignment=planned.generation, opened=opened, pause=None)
    return Outcome(mind, tuple(taken.get(name, -1) for name in names)), True


@cache
def _assignment(number: int, members: Members, up: bool) -> Assignment:
    ranked = tuple(
        Member(node=name, first_rank=rank, host="h", peer_port=life, store_port=1)
        for rank, (name, life) in enumerate(sorted(members, reverse=not up))
    )
    return Assignment(
        generation=number, members=ranked, workers_per_node=1, restore=Restore(source="nothing"), cause="x"
    )


@cache
def _view(name: str, seen: Seen, followed: Members, up: bool) -> NodeView:
    """How `name` is seen; `followed` are the members of the generation that it follows."""
    said = seen.said
    following = _assignment(said.following, followed, up) if said.following >= 0 else None
    workers = None
    if (name, said.life) in followed:
        workers = WorkersStatus(generation=said.following, state=said.workers, step=int(said.begun))
    status = NodeStatus(
        node=name,
        host="h",
        process_group=1,
        peer_port=said.life,
        store_port=1,
        ready=said.ready,
        following=following,
        workers=workers,
    )
    return NodeView(status=status, present=seen.present, lapsed=seen.lapsed)
