"""What is wrong with roles and budgets."""

from __future__ import annotations

from collections.abc import Iterator

from paceline.spec.documents import Document
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.settings.governance import People
from stacks.validators.problems import problem

# AWS Budgets quotas: notifications per budget
MOST_ALARMS = 10


def problems(team: Team, document: Document) -> Iterator[Problem]:
    """Problems of one team's roles and budget."""
    settings = team.parameters.governance
    if settings is None:
        return
    if not (settings.researchers or settings.operators or settings.budget):
        reason = "neither roles nor a budget"
        yield problem(document, ("governance",), reason, "add researchers, operators or budget, or delete the section")
    for name, people in (("researchers", settings.researchers), ("operators", settings.operators)):
        if people is not None:
            yield from _people(document, name, people, team.parameters.location.region)
    if settings.researchers and settings.operators:
        both = set(settings.researchers.trusted) & set(settings.operators.trusted)
        for role in sorted(both):
            reason = f"{role} is trusted by researchers too: the two would be one"
            path = ("governance", "operators", "trusted")
            yield problem(document, path, reason, "give operators a role of their own")
    if (budget := settings.budget) and not (budget.actual_percent or budget.forecast_percent):
        reason = "no threshold: the budget never raises an alarm"
        path = ("governance", "budget", "actual_percent")
        yield problem(document, path, reason, "write e.g. [50, 80, 100]")
    if budget and len(budget.actual_percent) + len(budget.forecast_percent) > MOST_ALARMS:
        count = len(budget.actual_percent) + len(budget.forecast_percent)
        reason = f"{count} thresholds, and AWS Budgets takes {MOST_ALARMS}"
        yield problem(document, ("governance", "budget", "actual_percent"), reason, "keep those that somebody acts on")


def _people(document: Document, name: str, people: People, region: str) -> Iterator[Problem]:
    partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
    for index, role in enumerate(people.trusted):
        path = ("governance", name, "trusted", index)
        if role.split(":")[1] != partition:
            reason = f"{role} is of another partition than {region}"
            yield problem(document, path, reason, f"write arn:{partition}:iam::...")
