from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.chaos.base import Leg
from paceline.chaos.registry import fault_classes
from paceline.chaos.schedule import COORDINATORS_PER_PART, Plan, parts, schedule

NAMES = sorted(fault_classes())
plans = st.builds(
    Plan,
    seed=st.integers(0, 1 << 32),
    faults=st.integers(1, 120),
    classes=st.lists(st.sampled_from(NAMES), min_size=1, unique=True).map(tuple),
)


@settings(deadline=None, max_examples=50)
@given(plan=plans)
def test_every_class_is_struck_as_often_as_any_other_or_once_more(plan: Plan) -> None:
    scheduled = schedule(plan)
    counts = Counter(each.fault.name() for each in scheduled)
    assert [each.number for each in scheduled] == list(range(plan.faults))
    assert set(counts) <= set(plan.classes)
    assert max(counts.values()) - min(counts[name] for name in plan.classes) <= 1


@settings(deadline=None, max_examples=50)
@given(plan=plans)
def test_the_same_plan_is_the_same_run(plan: Plan) -> None:
    first, second = schedule(plan), schedule(plan)
    assert [s.fault.name() for s in first] == [s.fault.name() for s in second]
    assert [s.rng(plan.seed).random() for s in first] == [s.rng(plan.seed).random() for s in second]


@settings(deadline=None, max_examples=50)
@given(plan=plans)
def test_parts_hold_every_fault_of_a_leg_once_and_in_order(plan: Plan) -> None:
    scheduled = schedule(plan)
    for leg in Leg:
        cut = list(parts(scheduled, leg))
        assert [s for part in cut for s in part] == [s for s in scheduled if s.fault.leg is leg]
        losses = [sum(s.fault.name() == "coordinator_loss" for s in part) for part in cut]
        assert all(count == COORDINATORS_PER_PART for count in losses[:-1])
        assert sum(losses[-1:]) <= COORDINATORS_PER_PART


def test_another_seed_is_another_run() -> None:
    one, other = (schedule(Plan(seed=seed, faults=60, classes=tuple(NAMES))) for seed in (0, 1))
    assert [s.fault.name() for s in one] != [s.fault.name() for s in other]
