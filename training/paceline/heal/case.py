"""How an incident begins and changes: pure functions from one record on a node's object to the next."""

from __future__ import annotations

from datetime import datetime

from paceline.heal.decide import Decision
from paceline.heal.fleets.base import Node
from paceline.heal.policy import Policy
from paceline.spec.healing import Case, Phase, Remedy
from paceline.spec.health import Action, Finding, Result

UNREACHABLE = "node.unreachable"


def opened(node: Node, finding: Finding, decision: Decision, now: datetime) -> Case:
    """The incident of a node in service. The same finding gives the same id, and so the same bundle of evidence."""
    return Case(
        id=f"{node.name}-{finding.time:%Y%m%dT%H%M%S}",
        node=node.name,
        finding=_bare(finding),
        action=decision.action,
        reason=decision.reason,
        opened=now,
        phase=Phase.DRAINING,
        since=now,
        boot=node.boot,
        machine=node.machine,
    )


def joined(node: Node, now: datetime) -> Case:
    """The case of a node that is new: nothing is wrong with it, and it must show that."""
    return Case(
        id=f"{node.name}-{now:%Y%m%dT%H%M%S}",
        node=node.name,
        finding=None,
        action=Action.NONE,
        reason="it joined the fleet",
        opened=now,
        phase=Phase.TESTING,
        since=now,
        joined=True,
    )


def escalated(case: Case, node: Node, finding: Finding, decision: Decision, now: datetime) -> Case:
    """The next action of the same incident."""
    return case.model_copy(
        update={
            "finding": _bare(finding),
            "action": decision.action,
            "reason": decision.reason,
            "phase": Phase.DRAINING,
            "since": now,
            "step": case.step + 1,
            "acted": False,
            "boot": node.boot,
            "machine": node.machine,
            "rung": None,
            "tries": 0,
            "peers": (),
        }
    )


def isolated(case: Case, reason: str, now: datetime) -> Case:
    """Out until a person readmits it."""
    return case.model_copy(update={"phase": Phase.ISOLATED, "reason": reason, "since": now, "peers": ()})


def readmitted(case: Case, now: datetime) -> Case:
    """A person lets an isolated node try the whole way back."""
    return case.model_copy(
        update={
            "phase": Phase.TESTING,
            "action": Action.NONE,
            "reason": "a person readmitted it",
            "since": now,
            "step": case.step + 1,
            "rung": None,
            "tries": 0,
        }
    )


def remedy_of(case: Case) -> Remedy:
    """What is remembered of the present action."""
    device = case.finding.device if case.finding else None
    return Remedy(
        id=f"{case.id}.{case.step}",
        node=case.node,
        board=device.serial if device else None,
        fault=(case.finding.fault if case.finding else None) or "",
        action=case.action,
        time=case.since if case.step else case.opened,
    )


def unreachable(node: Node, policy: Policy, now: datetime) -> Finding | None:
    """The fault of a node that its scheduler has not heard from for too long."""
    if node.silent_since is None:
        return None
    silent = (now - node.silent_since).total_seconds()
    if silent < policy.unreachable_after:
        return None
    return Finding(
        node=node.name,
        check="scheduler",
        result=Result.FAIL,
        time=now,
        fault=UNREACHABLE,
        evidence=f"silent since {node.silent_since:%F %T} UTC",
    )


def _bare(finding: Finding) -> Finding:
    """Without its evidence: what is written on a node's object must stay small."""
    return finding.model_copy(update={"evidence": ""})
