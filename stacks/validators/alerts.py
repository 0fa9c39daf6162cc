"""What is wrong with who hears of alarms."""

from __future__ import annotations

from collections.abc import Iterator

from paceline.spec.documents import Document
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.validators.problems import problem


def problems(team: Team, document: Document) -> Iterator[Problem]:
    """An alarm that nobody hears is none; one that comes twice is soon muted."""
    parameters = team.parameters
    alerts = parameters.alerts
    if parameters.observability and not alerts.critical:
        reason = "nobody hears of critical alerts, and observability raises them"
        yield problem(document, ("alerts", "critical"), reason, "name an e-mail address or an https:// endpoint")
    if parameters.governance and parameters.governance.budget and not alerts.warning:
        reason = "nobody hears of warnings, and governance.budget raises them"
        yield problem(document, ("alerts", "warning"), reason, "name an e-mail address or an https:// endpoint")
    for severity, endpoints in (("critical", alerts.critical), ("warning", alerts.warning)):
        if twice := sorted({endpoint for endpoint in endpoints if endpoints.count(endpoint) > 1}):
            path = ("alerts", severity)
            yield problem(document, path, f"{', '.join(twice)} stands there twice", "delete one")
