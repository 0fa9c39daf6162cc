from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from paceline.catalog.faults import faults
from paceline.heal.decide import Decision, Situation, Verdict, decide
from paceline.heal.policy import Override, load_policy
from paceline.spec.healing import Phase, Remedy
from paceline.spec.health import Action, Device, Finding, Result

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
POLICY = load_policy()
EVERY = frozenset((Action.RESET_DEVICE, Action.REBOOT, Action.REPLACE))
CALM = Situation(nodes=100, out=0, phase=None, capabilities=EVERY)


def failed(code: str = "nvidia.xid.79", *, serial: str | None = None, age: float = 1) -> Finding:
    device = Device(kind="gpu", index=3, serial=serial)
    time = NOW - timedelta(seconds=age)
    return Finding(node="n1", check="xid", result=Result.FAIL, time=time, fault=code, device=device)


def past(
    action: Action, *, code: str = "nvidia.xid.79", node: str = "n1", board: str | None = None, hours: float = 5
) -> Remedy:
    time = NOW - timedelta(hours=hours)
    closed = time + timedelta(minutes=30)
    return Remedy(
        id=f"{node}-{action}-{hours}", node=node, board=board, fault=code, action=action, time=time, closed=closed
    )


def judge(finding: Finding, *history: Remedy, situation: Situation = CALM) -> Decision:
    return decide(finding, faults().get(finding.fault or ""), history, situation, POLICY, NOW)


def test_the_maker_decides_the_first_time() -> None:
    decision = judge(failed())

    assert (decision.verdict, decision.action) == (Verdict.ACT, Action.REBOOT)
    assert decision.reason == "nvidia.xid.79: its maker calls for reboot"


@pytest.mark.parametrize(
    ("finding", "rule"),
    [
        (failed().model_copy(update={"result": Result.UNKNOWN}), "unknown"),
        (failed(age=601), "stale"),
        (failed("nvidia.xid.9999"), "uncatalogued"),
    ],
)
def test_what_is_not_clear_alarms_and_never_acts(finding: Finding, rule: str) -> None:
    decision = judge(finding)

    assert (decision.verdict, decision.action, decision.rule) == (Verdict.ALARM, Action.NONE, rule)


def test_what_nobody_says_how_to_mend_is_counted() -> None:
    assert faults()["nvidia.xid.172"].action is None
    assert judge(failed("nvidia.xid.172")).verdict is Verdict.COUNT


def test_two_reboots_then_a_replacement_then_a_person() -> None:
    once = past(Action.REBOOT, hours=30)
    twice = past(Action.REBOOT, hours=20)
    given_back = past(Action.REPLACE, hours=10)

    assert judge(failed(), once).action is Action.REBOOT
    assert judge(failed(), once, twice).action is faults()["nvidia.xid.79"].escalation
    last = judge(failed(), once, twice, given_back)
    assert last.action is Action.ISOLATE
    assert "reboot was tried 2 times" in last.reason


def test_what_was_done_long_ago_is_forgotten() -> None:
    old = [past(Action.REBOOT, hours=POLICY.remember / 3600 + hours) for hours in (1, 2)]

    assert judge(failed(), *old).action is Action.REBOOT


def test_a_board_that_was_given_back_is_known_on_another_node() -> None:
    history = past(Action.REPLACE, node="n9", board="1650922001234", code="nvidia.xid.48")

    decision = judge(failed(serial="1650922001234"), history)

    assert decision.action is Action.ISOLATE
    assert "board 1650922001234 was given back with n9 and is here again" in decision.reason


def test_a_node_that_needs_repair_again_and_again_is_a_lemon() -> None:
    codes = ("nvidia.xid.46", "nvidia.xid.62", "nvidia.xid.64", "nvidia.xid.95", "nvidia.xid.109")
    history = [past(Action.RESET_DEVICE, code=code, hours=10 + i) for i, code in enumerate(codes)]

    assert judge(failed(), *history[:4]).action is Action.REBOOT
    assert "a lemon" in judge(failed(), *history).reason


def test_a_counted_fault_acts_when_it_repeats() -> None:
    [code] = [
        row.code
        for row in faults().values()
        if row.action is Action.OBSERVE and row.escalation is not None and row.escalation.takes_node
    ][:1]
    counted = [past(Action.OBSERVE, code=code, hours=1 + i) for i in range(POLICY.repeats - 1)]

    assert judge(failed(code), *counted[:-1]).verdict is Verdict.COUNT
    assert judge(failed(code), *counted).verdict is Verdict.ACT


def test_what_was_found_before_the_last_repair_does_not_count() -> None:
    repaired = past(Action.REPLACE, code="nvidia.xid.48", hours=0.25).model_copy(update={"closed": NOW})

    assert judge(failed(age=60), repaired).rule == "repaired"


def test_the_breaker_holds_what_would_take_too_many() -> None:
    assert judge(failed(), situation=replace(CALM, out=19)).verdict is Verdict.ACT
    held = judge(failed(), situation=replace(CALM, out=20))
    assert (held.verdict, held.rule, held.action) == (Verdict.HOLD, "breaker", Action.REBOOT)
    assert "20 of 100 nodes are out, 20 may be" in held.reason


def test_a_small_fleet_may_still_heal_one_node() -> None:
    assert judge(failed(), situation=replace(CALM, nodes=2)).verdict is Verdict.ACT
    assert judge(failed(), situation=replace(CALM, nodes=2, out=1)).verdict is Verdict.HOLD


def test_a_wave_of_actions_is_held_for_a_person() -> None:
    wave = [past(Action.REBOOT, node=f"n{i + 10}", hours=0.5) for i in range(POLICY.actions_per_hour)]

    assert judge(failed(), *wave).rule == "rate"
    assert judge(failed(), *wave[1:]).verdict is Verdict.ACT


def test_a_fleet_that_cannot_do_it_does_the_next_thing() -> None:
    reset = failed("nvidia.xid.46")
    assert judge(reset).action is Action.RESET_DEVICE
    assert judge(reset, situation=replace(CALM, capabilities=frozenset((Action.REBOOT,)))).action is Action.REBOOT
    nothing = judge(reset, situation=replace(CALM, capabilities=frozenset()))
    assert nothing.action is Action.ISOLATE
    assert "this fleet cannot replace" in nothing.reason


@pytest.mark.parametrize("phase", [Phase.DRAINING, Phase.ACTING, Phase.ISOLATED])
def test_a_node_that_is_in_hand_is_left_alone(phase: Phase) -> None:
    assert judge(failed(), situation=replace(CALM, phase=phase)).rule == "in hand"


def test_a_failed_test_keeps_the_node_out_even_where_nobody_says_how_to_mend_it() -> None:
    decision = judge(failed("nvidia.xid.172"), situation=replace(CALM, phase=Phase.TESTING))

    assert (decision.verdict, decision.action) == (Verdict.ACT, Action.ISOLATE)


def test_the_team_overrides_the_maker() -> None:
    override = Override(action=Action.REPLACE, reason="our boards never survive it")
    policy = POLICY.model_copy(update={"overrides": {"nvidia.xid.79": override}})

    decision = decide(failed(), faults()["nvidia.xid.79"], [], CALM, policy, NOW)

    assert decision.action is Action.REPLACE
    assert "the team's policy calls for replace" in decision.reason
