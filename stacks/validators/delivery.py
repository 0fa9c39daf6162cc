"""What is wrong with who deploys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from paceline.spec.documents import Document
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.validators.problems import problem


def problems(team: Team, document: Document) -> Iterator[Problem]:
    """Problems of one team's delivery."""
    settings = team.parameters.delivery
    if settings is None:
        return
    if not (settings.branches or settings.environments):
        reason = "neither branches nor environments: no workflow could deploy"
        yield problem(document, ("delivery",), reason, "add `environments: [production]` or `branches: [main]`")
    if settings.provider and settings.provider.split(":")[4] != team.parameters.location.account:
        reason = f"{settings.provider} is of another account than {team.parameters.location.account}"
        hint = "a role trusts a provider of its own account only: leave it out, or name that account's"
        yield problem(document, ("delivery", "provider"), reason, hint)


def duplicates(teams: Sequence[Team], documents: Mapping[str, Document]) -> Iterator[Problem]:
    """An account has one identity provider for GitHub: a second team cannot make it again."""
    makers: dict[str, str] = {}
    for team in teams:
        if team.parameters.delivery is None or team.parameters.delivery.provider is not None:
            continue
        account = team.parameters.location.account
        if (first := makers.setdefault(account, team.name)) != team.name:
            reason = f"{first} makes the identity provider for GitHub in account {account} already"
            arn = f"arn:aws:iam::{account}:oidc-provider/token.actions.githubusercontent.com"
            yield problem(documents[team.name], ("delivery", "provider"), reason, f"write `provider: {arn}`")
