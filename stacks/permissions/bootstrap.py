"""How an account is made ready for a team: the policies, and the commands that give them to CloudFormation's role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stacks.change.templates import Template
from stacks.permissions.policies import partition, policies
from stacks.settings import Team
from stacks.settings.delivery import DEFAULT_QUALIFIER


@dataclass(frozen=True, kw_only=True, slots=True)
class Bootstrap:
    """`commands` find each policy in a file called after it. `shared_with` are the teams that the same role deploys."""

    team: str
    policies: dict[str, dict[str, Any]]
    commands: tuple[str, ...]
    shared_with: tuple[str, ...]


def bootstrap(team: Team, templates: Mapping[str, Template], teams: Sequence[Team]) -> Bootstrap:
    """For `team` with its `templates`, among all `teams`. ParameterError as of `policies`."""
    found = policies(team, templates)
    return Bootstrap(
        team=team.name,
        policies=found,
        commands=(*(_create(name) for name in found), _bootstrap(team, list(found))),
        shared_with=tuple(other.name for other in teams if other.name != team.name and _role(other) == _role(team)),
    )


def _create(name: str) -> str:
    return f"aws iam create-policy --policy-name {name} --policy-document file://{name}.json"


def _bootstrap(team: Team, names: Sequence[str]) -> str:
    account, region, qualifier = _role(team)
    arns = ",".join(f"arn:{partition(region)}:iam::{account}:policy/{name}" for name in names)
    own = f" --qualifier {qualifier} --toolkit-stack-name CDKToolkit-{qualifier}"
    return (
        f"cdk bootstrap aws://{account}/{region}{own if qualifier != DEFAULT_QUALIFIER else ''}"
        f" --cloudformation-execution-policies {arns}"
    )


def _role(team: Team) -> tuple[str, str, str]:
    """What makes the role of CloudFormation another one: account, region and qualifier."""
    location, delivery = team.parameters.location, team.parameters.delivery
    return location.account, location.region, delivery.qualifier if delivery else DEFAULT_QUALIFIER
