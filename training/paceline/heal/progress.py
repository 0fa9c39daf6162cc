"""The next step of an incident that is open: a pure function of the node, its peers, the policy and the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from paceline.heal.case import isolated
from paceline.heal.fleets.base import Node
from paceline.heal.policy import Policy
from paceline.heal.requalify import choose_peers, next_rung, test_order
from paceline.spec.healing import Case, Order, Phase
from paceline.spec.health import Action, Finding, Result

_SAID = 400  # characters: a case must stay small


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What is next. `case` is what is to be written first (None: nothing changes); then `order` goes to the agent, or
    `act` is carried out. `findings`: why the action has failed, which asks for a new decision. `close`: the node is
    well. `said` is for people."""

    case: Case | None = None
    order: Order | None = None
    act: bool = False
    findings: tuple[Finding, ...] = ()
    close: bool = False
    said: str = ""


def advance(node: Node, nodes: Sequence[Node], policy: Policy, now: datetime) -> Step:
    """The next step of `node.case`. Asked again without a change in the fleet, it gives the same step."""
    assert node.case is not None
    case = node.case
    waited = (now - case.since).total_seconds()
    if case.phase is Phase.DRAINING:
        return _drain(case, node, waited, policy, now)
    if case.phase is Phase.ACTING:
        return _act(case, node, waited, policy, now)
    if case.phase is Phase.TESTING:
        return _test(case, node, nodes, waited, policy, now)
    return Step()


def _drain(case: Case, node: Node, waited: float, policy: Policy, now: datetime) -> Step:
    if node.busy and waited < policy.drain_within:
        return Step()
    if case.action is Action.ISOLATE:
        return Step(case=isolated(case, case.reason, now))
    return Step(case=_changed(case, phase=Phase.ACTING, since=now))


def _act(case: Case, node: Node, waited: float, policy: Policy, now: datetime) -> Step:
    assert case.finding is not None
    if case.action is Action.RESET_DEVICE:
        answer = node.answer if node.answer and node.answer.id == case.order_id else None
        back, failed = answer is not None and answer.result is Result.PASS, answer is not None
    else:
        before, seen = (case.boot, node.boot) if case.action is Action.REBOOT else (case.machine, node.machine)
        back, failed = seen is not None and seen != before and node.silent_since is None, False
    if back:
        return Step(case=_changed(case, phase=Phase.TESTING, since=now))
    if failed or waited > policy.return_within[case.action]:
        word = case.action.name.lower()
        evidence = f"{word} failed" if failed else f"not back from {word} after {waited:.0f} s"
        update = {"check": "return", "result": Result.FAIL, "time": now, "evidence": evidence}
        return Step(findings=(case.finding.model_copy(update=update),))
    if case.acted:
        return Step()
    order = Order(id=case.order_id, reset=case.finding.device) if case.action is Action.RESET_DEVICE else None
    return Step(order=order, act=True)


def _test(case: Case, node: Node, nodes: Sequence[Node], waited: float, policy: Policy, now: datetime) -> Step:
    if case.rung is None:
        return Step(case=_changed(case, rung=next_rung(case, policy), since=now))
    answer = node.answer if node.answer and node.answer.id == case.order_id else None
    if answer is not None and answer.result is Result.PASS:
        return _climb(case, policy, now)
    if answer is not None and answer.result is Result.FAIL:
        # nothing heals a node that is out: what its test found holds until something is done, however long that is held
        failed = tuple(f.model_copy(update={"time": now}) for f in answer.findings if f.result is Result.FAIL)
        return Step(findings=failed) if failed else Step(case=isolated(case, "a test failed without a finding", now))
    if waited > policy.test_within:
        return Step(case=isolated(case, f"no result of the {case.rung} test within {waited:.0f} s", now))
    if answer is not None and case.tries + 1 >= policy.test_tries:
        unclear = "; ".join(finding.evidence for finding in answer.findings[:2]) or "no test could be run"
        said = f"the {case.rung} test could not tell, {policy.test_tries} times: {unclear[:_SAID]}"
        return Step(case=isolated(case, said, now))
    if answer is not None:  # it could not tell: once more, with other peers
        return Step(case=_changed(case, tries=case.tries + 1, peers=()))
    peers = case.peers or choose_peers(case, node, nodes, policy)
    if peers is None and waited > policy.partner_within:
        said = f"the {case.rung} test is left out: too few proven nodes were idle for {policy.partner_within:.0f} s"
        return replace(_climb(case, policy, now), said=said)
    if peers is None:
        return Step()
    booked = _changed(case, peers=peers)
    return Step(case=booked, order=test_order(booked, node))


def _climb(case: Case, policy: Policy, now: datetime) -> Step:
    """To the next rung, or back into service after the last one."""
    rung = next_rung(case, policy)
    if rung is None:
        return Step(close=True)
    return Step(case=_changed(case, rung=rung, since=now, tries=0, peers=()))


def _changed(case: Case, **update: Any) -> Case:
    return case.model_copy(update=update)
