"""Every state that a small run can reach with one fault at any point, through the production decisions: never do two
generations train, and from every state the newest one comes to train again."""

from __future__ import annotations

import pytest

from paceline.supervise import fence
from paceline.supervise.membership import Waiting
from paceline.supervise.protocol import Assignment
from tests.membership_world import FAULTS, Scene, TwoTrainError, explore

ONE_FAULT = Scene(nodes=3, sizes=(2,), faults=1)
SHRINKING = Scene(nodes=3, sizes=(2, 1), faults=1)
TWO_CUTS = Scene(nodes=4, sizes=(2,), faults=2, kinds=("cut",))


@pytest.mark.parametrize("scene", [ONE_FAULT, SHRINKING], ids=["spare", "shrink"])
def test_no_state_has_two_generations_that_train_or_is_stuck(scene: Scene) -> None:
    explored = explore(scene)
    assert explored.stuck == []
    assert explored.states > 30_000


def test_a_run_that_begins_reaches_its_first_step() -> None:
    explored = explore(Scene(nodes=3, sizes=(2,), faults=0, underway=False))
    assert explored.stuck == [] and explored.states > 100


def test_without_the_fence_a_pair_that_is_cut_off_trains_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check finds what it is for."""

    def never(self: fence.Fence, planned: Assignment) -> Waiting | None:
        return None

    monkeypatch.setattr(fence.Fence, "hinders", never)
    with pytest.raises(TwoTrainError, match="linked=False"):
        explore(TWO_CUTS)


def test_every_kind_of_fault_is_among_those_that_are_explored() -> None:
    assert set(ONE_FAULT.kinds) == set(SHRINKING.kinds) == set(FAULTS)
