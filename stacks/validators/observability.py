"""What is wrong with metrics and dashboards."""

from __future__ import annotations

from collections.abc import Iterator

from paceline.spec.documents import Document, Path_
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.settings.observability import IdentityCenter, Managed, SelfHosted
from stacks.validators.problems import problem

# what a collector without a way to the Internet sends metrics to
_ENDPOINT = "aps-workspaces"


def problems(team: Team, document: Document) -> Iterator[Problem]:
    """Problems of one team's metrics."""
    settings = team.parameters.observability
    if settings is None:
        return
    eks = has_eks(team)
    path: Path_ = ("observability", "collector")
    if settings.collector == "scraper" and not eks:
        reason = "AWS scrapes EKS clusters only, and the team has no section eks"
        yield problem(document, path, reason, "write `collector: agent`, or add the section eks")
    if settings.collector == "scraper" and len(team.parameters.network.subnets) < 2:
        reason = "the scraper wants subnets in two zones, and network.subnets has one"
        yield problem(document, path, reason, "add a subnet in another zone, or write `collector: agent`")
    if settings.collector == "agent" and _ENDPOINT not in team.parameters.network.interface_endpoints:
        reason = f"the agent cannot send metrics: network.interface_endpoints lacks {_ENDPOINT}"
        yield problem(document, path, reason, f"add {_ENDPOINT} to network.interface_endpoints")
    path = ("observability", "grafana", "kind")
    if isinstance(settings.grafana, SelfHosted) and not eks:
        reason = "a Grafana of one's own runs in an EKS cluster, and the team has no section eks"
        yield problem(document, path, reason, "write `kind: managed`, or add the section eks")
    if isinstance(settings.grafana, Managed):
        people = settings.grafana.people
        if isinstance(people, IdentityCenter) and not people.enabled:
            reason = "Amazon Managed Grafana cannot be made for an account without IAM Identity Center"
            hint = "switch it on for the organization and write true, or use `kind: saml` or `kind: self-hosted`"
            yield problem(document, ("observability", "grafana", "people", "enabled"), reason, hint)


def has_eks(team: Team) -> bool:
    """Whether the team has an EKS cluster of its own."""
    return getattr(team.parameters, "eks", None) is not None
