from __future__ import annotations

import pytest

from paceline.catalog.failure_rates import failure_rates
from paceline.simulate.calibration import calibrate
from paceline.spec.errors import JournalError
from paceline.spec.events import FaultDetected, FaultInjected

BASE = failure_rates().recoveries["half-minute"]


def struck(script, fault):  # type: ignore[no-untyped-def]
    """Two nodes that train for 5 s; a fault at 5.4 s, known at 5.9 s; a step of the next generation until 8 s."""
    script.start(0, nodes=2, spares=0)
    script.open(0, 0, ["a", "b"], 0)
    for number in range(1, 6):
        for node in ("a", "b"):
            script.step(number, node, number, 0, seconds=1)
    script.at(5.4, FaultInjected, fault="chaos", target="b")
    script.at(5.9, FaultDetected, fault=fault, target="b", evidence="gone")
    script.open(6.5, 1, ["a", "b"], 5, restore_from="memory")
    for node in ("a", "b"):
        script.step(8, node, 6, 1, seconds=1)
    return script.read()


def test_a_recovery_gives_detection_restart_and_cadence(script) -> None:  # type: ignore[no-untyped-def]
    found = calibrate([struck(script, "node lost")], BASE, "run")
    assert found.samples == {"explicit": 1, "hang": 0, "silent": 0}
    assert found.recovery.explicit.detect == (0.5,)
    assert found.recovery.explicit.restart == (1.1,)  # 2.1 s until the end of a step of 1 s
    assert found.recovery.memory is not None
    assert found.recovery.memory.every == 1
    assert (found.recovery.hang, found.recovery.silent) == (BASE.hang, BASE.silent)


@pytest.mark.parametrize(("fault", "kind"), [("hang", "hang"), ("silent corruption", "silent")])
def test_faults_are_told_apart(script, fault: str, kind: str) -> None:  # type: ignore[no-untyped-def]
    found = calibrate([struck(script, fault)], BASE, "run")
    assert found.samples == {"explicit": 0, "hang": 0, "silent": 0, kind: 1}
    assert found.recovery.explicit == BASE.explicit


def test_runs_are_taken_together(script) -> None:  # type: ignore[no-untyped-def]
    events = struck(script, "node lost")
    assert calibrate([events, events], BASE, "two").recovery.explicit.detect == (0.5, 0.5)


def test_a_run_without_a_fault_teaches_nothing(script) -> None:  # type: ignore[no-untyped-def]
    script.start(0, nodes=1, spares=0)
    script.open(0, 0, ["a"], 0)
    script.step(1, "a", 1, 0, seconds=1)
    with pytest.raises(JournalError, match="no recovery to learn from"):
        calibrate([script.read()], BASE, "run")
