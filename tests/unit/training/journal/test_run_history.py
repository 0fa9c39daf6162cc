from __future__ import annotations

import pytest

from paceline.journal.history import history
from paceline.journal.timeline import SECOND, microseconds
from paceline.spec.events import FaultDetected, FaultInjected, RunFinished, RunStarted


def seconds(events, moment):
    start = next(event for event in events if isinstance(event, RunStarted))
    return (moment - microseconds(start.time)) / SECOND


def test_the_recovery_of_an_injected_fault(run_of):
    events = run_of().read()
    (recovery,) = history(events).recoveries
    assert (recovery.fault, recovery.target, recovery.injected) == ("node_lost", "node-1", True)
    assert (recovery.fault_step, recovery.resumed_step, recovery.lost_steps) == (21, 20, 1)
    assert recovery.restored_from == "memory"
    assert seconds(events, recovery.blow) == 12.7
    assert recovery.detect_seconds == pytest.approx(0.2)
    assert recovery.recovery_seconds == pytest.approx(0.25 + 0.4 + 0.5)


def test_a_fault_that_nobody_announced_begins_with_the_last_sign_of_life(run_of):
    events = [event for event in run_of().read() if not isinstance(event, FaultInjected)]
    (recovery,) = history(events).recoveries
    assert not recovery.injected
    assert seconds(events, recovery.blow) == 12.5  # the end of node-1's last step


def test_survivors_that_lost_their_peer_are_not_taken_for_the_cause(run_of):
    script = run_of()
    script.at(12.75, FaultDetected, fault="worker_failed", target="node-0.rank-0", evidence="connection reset")
    (recovery,) = history(script.read()).recoveries
    assert recovery.target == "node-1"
    assert recovery.detect_seconds == pytest.approx(0.05)


def test_a_step_that_a_survivor_finished_after_the_blow_is_not_lost(script):
    script.start(0, nodes=2, spares=0)
    script.open(0, 0, ["a", "b"], 0)
    script.step(1, "a", 1, 0, seconds=1)
    script.at(1.95, FaultInjected, fault="kill", target="b")
    script.step(2, "a", 2, 0, seconds=1)
    script.at(2.1, FaultDetected, fault="kill", target="b", evidence="gone")
    script.open(2.2, 1, ["a"], 2, restore_from="memory")
    script.step(4, "a", 3, 1, seconds=1)
    (recovery,) = history(script.read()).recoveries
    assert (recovery.fault_step, recovery.resumed_step, recovery.lost_steps) == (1, 2, 0)


def test_going_on_from_a_step_that_nobody_told_the_end_of_loses_nothing(script):
    script.start(0, nodes=1, spares=0)
    script.open(0, 0, ["a"], 0)
    script.step(1, "a", 1, 0, seconds=1)
    script.at(2, FaultDetected, fault="kill", target="a", evidence="gone")
    script.open(3, 1, ["a"], 2, restore_from="memory")
    assert history(script.read()).recoveries[0].lost_steps == 0


def test_a_run_that_did_not_come_back(script):
    script.start(0, nodes=1, spares=0)
    script.open(0, 0, ["a"], 0)
    script.step(1, "a", 1, 0, seconds=1)
    script.at(2, FaultDetected, fault="kill", target="a", evidence="gone")
    script.at(3, RunFinished, outcome="failed", step=1)
    (recovery,) = history(script.read()).recoveries
    assert recovery.opened is recovery.recovered is recovery.recovery_seconds is recovery.lost_steps is None


def test_a_fault_of_a_spare_ends_no_generation(run_of):
    script = run_of(faulty=False)
    script.at(10, FaultDetected, fault="node_lost", target="node-2", evidence="gone")
    assert history(script.read()).recoveries == []
