"""Every state that a small run can reach with few faults at any points, through the production decisions: never do two
generations train, and from every state the newest one comes to train again. A larger scene is in
tests/integration/test_membership_two_faults.py; any other, `python -m tests.membership` explores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from paceline.supervise import fence
from paceline.supervise.fence import Fence
from paceline.supervise.membership import NodeView, Waiting, wanted_change
from paceline.supervise.protocol import Assignment, Member
from tests.membership import look
from tests.membership.moves import begin, moves
from tests.membership.search import TwoTrainError, explore
from tests.membership.world import FAULTS, Scene, World

SPARE = Scene(nodes=3, sizes=(2,), faults=1)
SHRINKING = Scene(nodes=3, sizes=(2, 1), faults=1)
PAIR = Scene(nodes=2, sizes=(2,), faults=2)


@pytest.mark.parametrize(("scene", "worlds"), [(SPARE, 13_751), (SHRINKING, 15_055), (PAIR, 23_070)])
def test_no_state_has_two_generations_that_train_or_is_stuck(scene: Scene, worlds: int) -> None:
    explored = explore(scene)
    assert explored.stuck == []
    assert explored.worlds == worlds


def test_a_run_that_begins_reaches_its_first_step() -> None:
    explored = explore(Scene(nodes=3, sizes=(2,), faults=0, underway=False))
    assert explored.stuck == [] and explored.worlds > 30


def test_every_kind_of_fault_is_among_those_that_are_explored() -> None:
    assert set(SPARE.kinds) == set(FAULTS)


@pytest.mark.parametrize("history", [True, False])
def test_worlds_that_are_taken_for_one_go_on_alike(history: bool) -> None:
    """What `settled` leaves out makes no difference: every world and its settled one lead to the same."""
    scene = Scene(nodes=2, sizes=(2, 1), faults=1)

    def settled(world: World) -> World:
        columns, mind = world.settled(history=history)
        return World(tuple(sorted(columns, key=repr)), mind)

    def next_of(world: World) -> set[tuple[bool, frozenset[World]]]:
        found = moves(scene, world, faults=history)
        return {(move.is_fault, frozenset(settled(w) for w in move.outcomes)) for move in found} - {
            (False, frozenset([settled(world)]))
        }

    seen, waiting = set(), [begin(scene)]
    for first in moves(scene, begin(scene), faults=True):
        waiting += first.outcomes
    while waiting:
        world = waiting.pop()
        if world not in seen:
            seen.add(world)
            assert next_of(world) == next_of(settled(world))
            assert len(world.training()) == len(settled(world).training())
            waiting += [w for move in moves(scene, world, faults=False) for w in move.outcomes]
    assert len({settled(world) for world in seen}) < len(seen)


# ----- the check finds what it is for --------------------------------------------------------------------------------


def never_hinders(self: Fence, planned: Assignment) -> Waiting | None:
    return None


def hinders_but_forgets_predecessors(self: Fence, planned: Assignment) -> Waiting | None:
    return HINDERS(Fence(opened=self.opened), planned)


def has_left_when_it_is_silent(member: Member, assignment: Assignment, view: NodeView | None) -> bool:
    return HAS_LEFT(member, assignment, view) or (view is not None and not view.present)


def never_outlives(self: Fence, views: dict[str, NodeView]) -> Fence:
    return self


def wanted_change_but_forgets_generations(*args: Any, newest: int) -> str | None:
    return wanted_change(*args)


HINDERS, HAS_LEFT = Fence.hinders, fence._has_left
CUTS = Scene(nodes=2, sizes=(2, 1), faults=2, kinds=("cut",))
SUCCESSOR = Scene(nodes=2, sizes=(2,), faults=1, kinds=("coordinator",))
SUCCESSORS = Scene(nodes=2, sizes=(2, 1), faults=2, kinds=("cut", "coordinator"))


@pytest.mark.parametrize(
    ("owner", "name", "bug", "scene"),
    [
        pytest.param(Fence, "hinders", never_hinders, CUTS, id="no fence"),
        pytest.param(Fence, "hinders", hinders_but_forgets_predecessors, SUCCESSORS, id="a successor that forgets"),
        pytest.param(fence, "_has_left", has_left_when_it_is_silent, CUTS, id="a lease that is not waited for"),
    ],
)
def test_a_bug_that_lets_two_generations_train_is_found(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, bug: Callable[..., object], scene: Scene
) -> None:
    monkeypatch.setattr(owner, name, bug)
    with pytest.raises(TwoTrainError):
        explore(scene)


@pytest.mark.parametrize(
    ("owner", "name", "bug", "scene"),
    [
        pytest.param(Fence, "outlive", never_outlives, SUCCESSOR, id="a fence for ever"),
        pytest.param(
            look,
            "wanted_change",
            wanted_change_but_forgets_generations,
            SUCCESSORS,
            id="a generation nobody was told of",
        ),
    ],
)
def test_a_bug_that_leaves_a_run_stuck_is_found(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, bug: Callable[..., object], scene: Scene
) -> None:
    monkeypatch.setattr(owner, name, bug)
    assert explore(scene).stuck != []
