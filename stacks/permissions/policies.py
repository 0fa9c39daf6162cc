"""The policies of the role that CloudFormation deploys a team with, from what the team's templates hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from paceline.spec.errors import ParameterError
from stacks.change.templates import Template
from stacks.permissions.extract import ACTIONS
from stacks.settings import Team

Statement = dict[str, Any]
Policy = dict[str, Any]

# Characters of a managed policy, white space not counted. Source: IAM User Guide, reference_iam-quotas.html
MAX_POLICY_SIZE = 6144

# To read an output of another stack. Source: CloudFormation Template Reference, Fn::GetStackOutput
_READ_OUTPUTS = "cloudformation:DescribeStacks"
# The actions that know iam:PermissionsBoundary. Source: IAM User Guide, reference_policies_iam-condition-keys.html
_BOUNDED = {
    "iam:AttachRolePolicy",
    "iam:CreateRole",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
}
# a role without its boundary may do all that its policies say
_UNBIND = "iam:DeleteRolePermissionsBoundary"
# FSx asks whoever links a bucket for the second. Source: FSx for Lustre User Guide, setting-up.html
_SERVICE_LINKED = {"iam:CreateServiceLinkedRole", "iam:DeleteServiceLinkedRole", "iam:PutRolePolicy"}


def policies(team: Team, templates: Mapping[str, Template]) -> dict[str, Policy]:
    """What to allow for `templates`, which are the team's by stack id: policies by name.

    An action stands in the statement of the first stack that needs it. There are as many policies as their size asks
    for. ParameterError for a type of resource whose actions are not known.
    """
    packed: list[list[Statement]] = []
    for statement in _statements(team, templates):
        if not packed or _size([*packed[-1], statement]) > MAX_POLICY_SIZE:
            packed.append([])
        packed[-1].append(statement)
    return {f"paceline-{team.name}-{n}": _policy(statements) for n, statements in enumerate(packed, 1)}


def _statements(team: Team, templates: Mapping[str, Template]) -> Iterator[Statement]:
    needed = {stack: _actions(template) for stack, template in templates.items()}
    yield from _roles(team, set().union(*needed.values()), templates)
    allowed: set[str] = set()
    for stack, actions in needed.items():
        if fresh := {action for action in actions if _is_free(action)} - allowed:
            yield _allow(re.sub(r"\W", "", stack), fresh, ["*"])
        allowed |= fresh


def _actions(template: Template) -> set[str]:
    found = {_READ_OUTPUTS}
    for name, resource in template["Resources"].items():
        kind = resource["Type"]
        known = _table().get("AWS::CloudFormation::CustomResource" if kind.startswith("Custom::") else kind)
        if known is None:
            raise ParameterError(
                f"{name}: it is not known what CloudFormation needs for a resource of type {kind}",
                "add the type to stacks/permissions/types.yaml and run `python -m stacks.permissions.extract`",
            )
        found.update(known)
    return found


def _is_free(action: str) -> bool:
    """Whether it may be allowed on everything: what makes and passes on roles may not."""
    return not action.startswith("iam:") or action.startswith(("iam:Get", "iam:List"))


def _roles(team: Team, actions: set[str], templates: Mapping[str, Template]) -> Iterator[Statement]:
    """IAM on what carries the team's name, which CloudFormation gives to all that it names by itself."""
    location, boundary = team.parameters.location, team.parameters.permission_boundary
    iam = f"arn:{partition(location.region)}:iam::{location.account}"
    own = [f"{iam}:{kind}{path}{team.name}-*" for path in _paths(templates) for kind in ("role", "instance-profile")]
    own.append(f"{iam}:oidc-provider/token.actions.githubusercontent.com")
    writes = {action for action in actions if not _is_free(action)}
    bounded = writes & _BOUNDED if boundary else set()
    if bounded:
        condition = {"StringEquals": {"iam:PermissionsBoundary": f"{iam}:policy/{boundary}"}}
        yield {**_allow("BoundedRoles", bounded, own), "Condition": condition}
    free = writes - bounded - {"iam:CreateServiceLinkedRole", "iam:DeleteServiceLinkedRole"}
    yield from [_allow("Roles", free - {_UNBIND} if boundary else free, own)] if free else []
    if linked := writes & _SERVICE_LINKED:
        yield _allow("ServiceLinkedRoles", linked, [f"{iam}:role/aws-service-role/*"])


def _paths(templates: Mapping[str, Template]) -> Sequence[str]:
    """The IAM paths under which the templates put roles and instance profiles."""
    resources = [resource for template in templates.values() for resource in template["Resources"].values()]
    kinds = ("AWS::IAM::Role", "AWS::IAM::InstanceProfile")
    return sorted({r.get("Properties", {}).get("Path", "/") for r in resources if r["Type"] in kinds})


def partition(region: str) -> str:
    """The first part of ARNs in `region`."""
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rsplit("-", 2)[0], "aws")


def _allow(sid: str, actions: set[str], resources: list[str]) -> Statement:
    return {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": resources}


def _policy(statements: list[Statement]) -> Policy:
    return {"Version": "2012-10-17", "Statement": statements}


def _size(statements: list[Statement]) -> int:
    return len(json.dumps(_policy(statements), separators=(",", ":")))


@cache
def _table() -> Mapping[str, Sequence[str]]:
    table: Mapping[str, Sequence[str]] = json.loads(ACTIONS.read_text(encoding="utf-8"))["actions"]
    return table
