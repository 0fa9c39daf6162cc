from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from paceline.chaos.score import Blow, Trial, judge, score, spread
from paceline.spec.events import AnyEvent, Event, FaultDetected, GenerationOpened, HangJudged, StepFinished

SECOND = 1_000_000_000
START = datetime(2026, 11, 21, tzinfo=UTC)


def at(kind: type[Event], when: float, /, **fields: Any) -> Any:
    """An event; the time of day of its producer is off by an hour, which must not matter."""
    return kind(
        time=START + timedelta(seconds=when, hours=1),
        monotonic_ns=round(when * SECOND),
        run="r",
        producer="coordinator",
        **fields,
    )


def step(seconds: float, number: int, generation: int) -> Any:
    figures = {"loss": 1.0, "tokens": 1, "learning_rate": 1.0, "gradient_norm": 1.0}
    times = {"seconds": 0.1, "data_seconds": 0.0, "checkpoint_seconds": 0.0}
    return at(StepFinished, seconds, step=number, generation=generation, **figures, **times)


def opened(seconds: float, generation: int, *nodes: str, restore: int) -> Any:
    ranks = {node: rank for rank, node in enumerate(nodes)}
    return at(
        GenerationOpened,
        seconds,
        generation=generation,
        ranks=ranks,
        world_size=len(ranks),
        cause="c",
        restore_from="memory",
        restore_step=restore,
    )


def detected(seconds: float, target: str) -> Any:
    return at(FaultDetected, seconds, fault="node lost", target=target, evidence="e")


BLOW = Blow(
    struck=frozenset({"node-1"}),
    first_ns=10 * SECOND,
    last_ns=10 * SECOND,
    generation=0,
    step=20,
    members=frozenset({"node-0", "node-1"}),
)
HEALED = [
    step(9.9, 20, 0),
    step(10.1, 21, 0),  # the other rank was not struck, and finished what it was at
    detected(10.5, "node-1"),
    opened(10.6, 1, "node-0", "node-2", restore=20),
    step(12.0, 21, 1),
    step(12.2, 22, 1),
]


def judged(events: list[AnyEvent], blow: Blow = BLOW, *, heals: bool = True, signs: Any = ("fault.detected",)) -> Trial:
    return judge(events, blow, number=0, fault="node_loss", leg="fleet", signs=signs, heals=heals, seconds=3.0)


def test_a_healed_fault() -> None:
    trial = judged(HEALED)
    assert trial.detect_seconds == 0.5
    assert trial.localised is True
    assert trial.recover_seconds == 2.0
    assert trial.lost_steps == 1
    assert trial.false_actions == 0


@given(events=st.permutations(HEALED))
def test_the_order_in_which_events_were_read_does_not_matter(events: list[AnyEvent]) -> None:
    assert judged(events) == judged(HEALED)


def test_what_happened_before_the_blow_is_no_sign_of_it() -> None:
    trial = judged([detected(9.0, "node-1"), opened(9.1, 0, "node-0", "node-1", restore=0), step(11.0, 21, 0)])
    assert (trial.detect_seconds, trial.localised, trial.recover_seconds) == (None, None, None)


def test_another_node_is_named() -> None:
    assert judged([detected(10.5, "node-0"), *HEALED[3:]]).localised is False


def test_a_node_that_was_not_struck_loses_its_place() -> None:
    moved = [detected(10.5, "node-1"), opened(10.6, 1, "node-2", "node-3", restore=20)]
    assert judged(moved).false_actions == 1


def test_any_generation_is_a_false_action_where_none_is_called_for() -> None:
    assert judged(HEALED, heals=False, signs=()).false_actions == 1
    assert judged([step(10.2, 21, 0)], heals=False, signs=()).false_actions == 0


def test_steps_are_lost_each_time_the_run_goes_back() -> None:
    twice = [*HEALED, opened(13.0, 2, "node-0", "node-2", restore=20), step(14.0, 21, 2)]
    assert judged(twice).lost_steps == 3


def test_a_verdict_names_its_guilty_node() -> None:
    verdict = at(
        HangJudged,
        15.0,
        fault_class="user_code_stuck",
        guilty_node="node-1",
        guilty_rank=1,
        reason="r",
        idle_seconds=5.0,
        threshold_seconds=5.0,
        standings=(),
    )
    trial = judged([verdict], signs=("hang.judged",))
    assert (trial.detect_seconds, trial.localised) == (5.0, True)


def test_a_class_is_not_scored_by_what_should_not_happen_in_it() -> None:
    calm = score([judged([], heals=False, signs=())], signs=(), heals=False)
    assert (calm.detected, calm.localised, calm.recovered) == (None, None, None)
    healed = score([judged(HEALED), judged([])], signs=("fault.detected",), heals=True)
    assert (healed.struck, healed.detected, healed.localised, healed.recovered) == (2, 1, 1, 1)
    assert (healed.lost_steps, healed.lost_steps_most) == (1, 1)


@given(values=st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_are_values_and_in_order(values: list[float]) -> None:
    found = spread(values)
    assert found.p50 in values and found.p95 in values
    assert found.p50 is not None and found.p95 is not None
    assert 2 * sum(v <= found.p50 for v in values) >= len(values)
    assert 100 * sum(v <= found.p95 for v in values) >= 95 * len(values)
    assert found.p50 <= found.p95


def test_no_values_have_no_percentiles() -> None:
    assert spread([]) == spread([]).model_copy(update={"p50": None, "p95": None})
