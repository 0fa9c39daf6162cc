"""What is wrong with who hears of alarms."""

from __future__ import annotations

from collections.abc import Iterator

from paceline.spec.documents import Document
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.validators.problems import problem


def problems(team: Team, document: Document) -> Iterator[Problem]:
    """An alarm that nobody hears is none."""
    parameters = team.parameters
    alerts = parameters.alerts
    if parameters.observability and not alerts.critical:
        reason = "nobody hears of critical alerts, and observability raises them"
        yield problem(document, ("alerts", "critical"), reason, "name an e-mail address or an https:// endpoint")
    ending = [name for name, source in parameters.capacity.items() if getattr(source.purchase, "ends", None)]
    if ending and not alerts.critical:
        reason = f"nobody hears that capacity ends: {', '.join(ending)}"
        yield problem(document, ("alerts", "critical"), reason, "name an e-mail address or an https:// endpoint")
    if parameters.governance and parameters.governance.budget and not alerts.warning:
        reason = "nobody hears of warnings, and governance.budget raises them"
        yield problem(document, ("alerts", "warning"), reason, "name an e-mail address or an https:// endpoint")
