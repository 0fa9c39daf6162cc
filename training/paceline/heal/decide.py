"""What to do about one finding on one node: a pure function of the finding, the past, the fleet and the policy.

Nothing here knows a clock, a kind of fleet or a store, so that tests, `paceline heal explain` and the simulator ask the
same function that production asks. The rules are asked in order; the first one that answers decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from paceline.heal.policy import Policy
from paceline.spec.healing import Phase, Remedy
from paceline.spec.health import Action, Fault, Finding, Result


class Verdict(StrEnum):
    """What becomes of a finding."""

    ACT = "act"  # the node leaves the fleet for the action
    COUNT = "count"  # remembered; repetition may act
    HOLD = "hold"  # an action is due, and restrained: asked again, and told
    ALARM = "alarm"  # nothing can be concluded from it: a person should look
    IGNORE = "ignore"  # nothing to do


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """The fleet as far as a decision needs it. `nodes` is its size and `out` how many of them were taken out, both
    without those that have only joined; `phase` is the node's own, None when it is in service."""

    nodes: int
    out: int
    phase: Phase | None
    capabilities: frozenset[Action]


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """`action` is what is done, or what is due while it is held. `rule` names the rule that decided, `reason` is for
    people."""

    verdict: Verdict
    action: Action
    rule: str
    reason: str


def decide(
    finding: Finding,
    fault: Fault | None,
    history: Sequence[Remedy],
    situation: Situation,
    policy: Policy,
    now: datetime,
) -> Decision:
    """What to do about `finding`, whose code the catalog explains as `fault` (None: it does not know the code).

    `history` is all that is remembered; what concerns other nodes counts for the rate only.
    """
    if unclear := _unclear(finding, fault, situation, policy, now):
        return unclear
    assert fault is not None
    own = [remedy for remedy in history if _concerns(remedy, finding, now, policy)]
    repairs = (r.closed for r in own if r.node == finding.node and r.action.takes_node and r.closed)
    if (last := max(repairs, default=None)) and finding.time <= last:
        return _say(Verdict.IGNORE, Action.NONE, "repaired", f"older than the node's last repair ({last:%F %T})")
    testing = situation.phase is Phase.TESTING
    action = policy.action(fault)
    if action is None:
        action, origin = Action.OBSERVE, "its maker names no action"
    else:
        origin = "the team's policy" if fault.code in policy.overrides else "its maker"
        origin += f" calls for {_word(action)}"
    if testing and not action.takes_node:
        # a failed test keeps a node out, even where nobody says how to mend it
        action, origin = Action.ISOLATE, f"a test failed, and {origin}"
    if not action.takes_node:
        action, origin = _repeated(action, origin, fault, own, policy, now)
    if not action.takes_node:
        verdict = Verdict.COUNT if action is not Action.NONE else Verdict.IGNORE
        return _say(verdict, action, "catalog", f"{fault.code}: {origin}")
    action, origin = _escalated(action, origin, finding, fault, own, policy, now)
    while action is not Action.ISOLATE and action not in situation.capabilities:
        action, origin = _next(action), f"{origin}; this fleet cannot {_word(action)}"
    reason = f"{fault.code}: {origin}"
    if held := _restrained(action, history, situation, policy, now):
        return _say(Verdict.HOLD, action, held[0], f"{reason}; held: {held[1]}")
    return _say(Verdict.ACT, action, "catalog", reason)


def _unclear(
    finding: Finding, fault: Fault | None, situation: Situation, policy: Policy, now: datetime
) -> Decision | None:
    """What must not lead to an action, whatever else is known."""
    if finding.result is Result.PASS:
        return _say(Verdict.IGNORE, Action.NONE, "passed", f"{finding.check} passed")
    if finding.result is Result.UNKNOWN:
        return _say(Verdict.ALARM, Action.NONE, "unknown", f"{finding.check} could not tell: unknown never acts")
    if now - finding.time > timedelta(seconds=policy.stale_after):
        reason = f"{finding.check} last spoke at {finding.time:%F %T}: stale never acts"
        return _say(Verdict.ALARM, Action.NONE, "stale", reason)
    if fault is None:
        return _say(Verdict.ALARM, Action.NONE, "uncatalogued", f"the catalog does not know {finding.fault!r}")
    if situation.phase in (Phase.DRAINING, Phase.ACTING, Phase.ISOLATED):
        return _say(Verdict.IGNORE, Action.NONE, "in hand", f"the node is {situation.phase} already")
    return None


def _concerns(remedy: Remedy, finding: Finding, now: datetime, policy: Policy) -> bool:
    """Whether `remedy` was about this node or about this board, wherever the board was then."""
    if now - remedy.time > timedelta(seconds=policy.remember):
        return False
    board = finding.device.serial if finding.device else None
    return remedy.node == finding.node or (board is not None and remedy.board == board)


def _repeated(
    action: Action, origin: str, fault: Fault, own: Sequence[Remedy], policy: Policy, now: datetime
) -> tuple[Action, str]:
    """A fault that is only counted acts when it comes too often; this time counts too."""
    since = now - timedelta(seconds=policy.repeat_window)
    times = 1 + sum(1 for remedy in own if remedy.fault == fault.code and remedy.time >= since)
    if times < policy.repeats or fault.escalation is None or not fault.escalation.takes_node:
        return action, origin
    return fault.escalation, f"it came {times} times in {policy.repeat_window / 3600:.0f} h"


def _escalated(
    action: Action, origin: str, finding: Finding, fault: Fault, own: Sequence[Remedy], policy: Policy, now: datetime
) -> tuple[Action, str]:
    """The first action on the ladder that is not used up for this fault on this node or board."""
    board = finding.device.serial if finding.device else None
    returned = [r for r in own if board and r.board == board and r.node != finding.node and r.action is Action.REPLACE]
    if returned:
        return Action.ISOLATE, f"{origin}; board {board} was given back with {returned[-1].node} and is here again"
    since = now - timedelta(seconds=policy.lemon_window)
    taken = [r for r in own if r.node == finding.node and r.action.takes_node]
    if (recent := sum(1 for r in taken if r.time >= since)) >= policy.lemon_actions:
        return Action.ISOLATE, f"{origin}; {recent} actions in {policy.lemon_window / 86400:.0f} days: a lemon"
    first = action
    while action in policy.attempts:
        tried = sum(1 for r in own if r.fault == fault.code and r.action is action)
        if tried < policy.attempts[action]:
            break
        origin += f"; {_word(action)} was tried {tried} time{'s' if tried > 1 else ''}"
        skips = action is first and fault.escalation is not None and fault.escalation > action
        action = fault.escalation if skips and fault.escalation else _next(action)
    return action, origin


def _restrained(
    action: Action, history: Sequence[Remedy], situation: Situation, policy: Policy, now: datetime
) -> tuple[str, str] | None:
    """The rule and the reason that keep an action from being taken now. A node under test is out already."""
    allowed = most_out(situation.nodes, policy)
    if situation.phase is None and situation.out + 1 > allowed:
        return "breaker", f"{situation.out} of {situation.nodes} nodes are out, {allowed} may be"
    since = now - timedelta(hours=1)
    started = sum(1 for remedy in history if remedy.action.takes_node and remedy.time > since)
    if action is not Action.ISOLATE and started >= policy.actions_per_hour:
        return "rate", f"{started} actions in the last hour, {policy.actions_per_hour} are allowed"
    return None


def most_out(nodes: int, policy: Policy) -> int:
    """How many of `nodes` may be out at once: the breaker's share, but always one."""
    return max(1, int(policy.breaker_share * nodes))


def _next(action: Action) -> Action:
    return Action(action + 1)


def _word(action: Action) -> str:
    return action.name.lower().replace("_", " ")


def _say(verdict: Verdict, action: Action, rule: str, reason: str) -> Decision:
    return Decision(verdict=verdict, action=action, rule=rule, reason=reason)
