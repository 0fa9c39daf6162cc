"""What the healer would do about a fault, asked with a file instead of a fleet."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from paceline.catalog.faults import faults
from paceline.heal.decide import Situation, Verdict, decide
from paceline.heal.policy import Policy
from paceline.heal.requalify import rungs_after
from paceline.spec.base import Record
from paceline.spec.errors import ParameterError, Problem
from paceline.spec.healing import Phase, Remedy
from paceline.spec.health import Action, Fault, Finding


class Incident(Record):
    """A question to the healer: a finding, and as much of its past and its fleet as matters. `now` is when it is
    decided: without it, when the finding was made."""

    finding: Finding
    history: tuple[Remedy, ...] = ()
    nodes: int = Field(default=100, ge=1, description="size of the fleet")
    out: int = Field(default=0, ge=0, description="nodes that are out already")
    phase: Phase | None = Field(default=None, description="how far the node's own incident is, if it has one")
    capabilities: tuple[Action, ...] = Field(
        default=(Action.RESET_DEVICE, Action.REBOOT, Action.REPLACE), description="what the fleet can carry out"
    )
    now: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """The decision, the row of the catalog that it rests on, and what the node must pass afterwards."""

    verdict: str
    action: str
    rule: str
    reason: str
    fault: Fault | None
    tests: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"fault": self.fault.model_dump(mode="json") if self.fault else None}


def read_incident(path: Path) -> Incident:
    """An Incident, or a Finding alone (as `paceline node check -o json` prints it). ParameterError names what is
    wrong with the file."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        return Incident.model_validate(given if "finding" in given else {"finding": given})
    except OSError as cause:
        raise ParameterError(f"{path}: {cause.strerror}", "name a file with a finding") from cause
    except (ValueError, TypeError) as cause:
        if not isinstance(cause, ValidationError):
            raise ParameterError(f"{path}: not JSON: {cause}", "write a finding as one JSON object") from cause
        where = [".".join(str(part) for part in error["loc"]) for error in cause.errors()]
        told = [f"{path}: {at}: {error['msg']}" for at, error in zip(where, cause.errors(), strict=True)]
        hint = "a finding has node, check, result, time, fault, and may have device and evidence"
        raise ParameterError.of([Problem(message=message, hint=hint) for message in told]) from cause


def explain(incident: Incident, policy: Policy) -> Explanation:
    """What `decide` says, with what it rests on."""
    fault = faults().get(incident.finding.fault or "")
    situation = Situation(
        nodes=incident.nodes,
        out=incident.out,
        phase=incident.phase,
        capabilities=frozenset(incident.capabilities),
    )
    now = incident.now or incident.finding.time
    decision = decide(incident.finding, fault, incident.history, situation, policy, now)
    returns = decision.verdict is Verdict.ACT and decision.action is not Action.ISOLATE
    return Explanation(
        verdict=str(decision.verdict),
        action=decision.action.name.lower(),
        rule=decision.rule,
        reason=decision.reason,
        fault=fault,
        tests=tuple(str(rung) for rung in rungs_after(decision.action, policy)) if returns else (),
    )
