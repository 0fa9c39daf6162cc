"""The policies for deploying a team: as much as its templates need, and roles only of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paceline.spec.errors import ParameterError
from stacks.permissions.bootstrap import bootstrap
from stacks.permissions.policies import MAX_POLICY_SIZE, partition, policies
from stacks.settings import Team
from stacks.teams import read_teams

TEAMS = {team.name: team for team in read_teams(Path(__file__).parents[3] / "stacks" / "parameters")}
SANDBOX = TEAMS["sandbox"]


def template(*types: str, **properties: str) -> dict[str, Any]:
    return {"Resources": {f"R{n}": {"Type": kind, "Properties": properties} for n, kind in enumerate(types)}}


def statements(team: Team, **templates: Any) -> dict[str, dict[str, Any]]:
    return {s["Sid"]: s for policy in policies(team, templates).values() for s in policy["Statement"]}


def bounded(team: Team) -> Team:
    return replace(team, parameters=team.parameters.model_copy(update={"permission_boundary": "edge"}))


def test_an_action_is_allowed_where_the_first_stack_needs_it() -> None:
    found = statements(SANDBOX, One=template("AWS::KMS::Alias"), Two=template("AWS::KMS::Alias", "AWS::KMS::Key"))

    assert {"kms:CreateAlias", "cloudformation:DescribeStacks"} <= set(found["One"]["Action"])
    assert "kms:CreateKey" in found["Two"]["Action"]
    assert not set(found["One"]["Action"]) & set(found["Two"]["Action"])


def test_roles_are_made_and_passed_on_under_the_name_of_the_team_only() -> None:
    found = statements(SANDBOX, One=template("AWS::IAM::Role", Path="/aws-pcs/"), Two=template("AWS::Lambda::Function"))

    assert {"iam:CreateRole", "iam:PassRole", "iam:PutRolePolicy"} <= set(found["Roles"]["Action"])
    assert "arn:aws:iam::123456789012:role/aws-pcs/sandbox-*" in found["Roles"]["Resource"]
    assert all("*" not in resource.removesuffix("sandbox-*") for resource in found["Roles"]["Resource"])
    assert not [a for a in found["One"]["Action"] if a.startswith("iam:") and not a.startswith(("iam:Get", "iam:List"))]


def test_with_a_boundary_no_role_is_made_without_it_and_none_loses_it() -> None:
    found = statements(bounded(SANDBOX), One=template("AWS::IAM::Role"))

    assert found["BoundedRoles"]["Condition"] == {
        "StringEquals": {"iam:PermissionsBoundary": "arn:aws:iam::123456789012:policy/edge"}
    }
    assert {"iam:CreateRole", "iam:AttachRolePolicy", "iam:PutRolePolicy"} <= set(found["BoundedRoles"]["Action"])
    assert not set(found["BoundedRoles"]["Action"]) & set(found["Roles"]["Action"])
    assert "iam:DeleteRolePermissionsBoundary" not in [action for s in found.values() for action in s["Action"]]


def test_a_custom_resource_is_a_function_that_is_invoked() -> None:
    assert "lambda:InvokeFunction" in statements(SANDBOX, One=template("Custom::Anything"))["One"]["Action"]


def test_an_unknown_type_is_refused_with_the_cure() -> None:
    with pytest.raises(ParameterError) as refused:
        policies(SANDBOX, {"One": template("AWS::Nowhere::Thing")})
    assert "R0: it is not known" in refused.value.render()
    assert "stacks.permissions.extract" in refused.value.render()


@pytest.mark.parametrize(
    ("region", "expected"), [("us-east-1", "aws"), ("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn")]
)
def test_partitions(region: str, expected: str) -> None:
    assert partition(region) == expected


def test_the_commands_name_every_policy_and_who_shares_the_role() -> None:
    plan = bootstrap(SANDBOX, {"One": template("AWS::KMS::Key")}, list(TEAMS.values()))

    assert list(plan.policies) == ["paceline-sandbox-1"]
    assert plan.commands == (
        "aws iam create-policy --policy-name paceline-sandbox-1 --policy-document file://paceline-sandbox-1.json",
        "cdk bootstrap aws://123456789012/us-east-1 --cloudformation-execution-policies"
        " arn:aws:iam::123456789012:policy/paceline-sandbox-1",
    )
    assert set(plan.shared_with) == {"hyperpod-eks", "hyperpod-slurm", "vision"}  # speech is in another region


def test_a_qualifier_of_its_own_is_a_role_of_its_own() -> None:
    delivery = TEAMS["vision"].parameters.delivery
    assert delivery is not None
    own = {"delivery": delivery.model_copy(update={"qualifier": "vision"})}
    vision = replace(TEAMS["vision"], parameters=TEAMS["vision"].parameters.model_copy(update=own))
    plan = bootstrap(vision, {"One": template("AWS::KMS::Key")}, [SANDBOX, vision])

    assert "--qualifier vision --toolkit-stack-name CDKToolkit-vision" in plan.commands[-1]
    assert plan.shared_with == ()


def test_a_policy_that_would_be_too_large_is_continued_in_another() -> None:
    large = ("AWS::S3::Bucket", "AWS::Lambda::Function", "AWS::EKS::Cluster", "AWS::APS::Workspace", "AWS::PCS::Queue")
    more = ("AWS::SageMaker::Cluster", "AWS::EC2::VPC", "AWS::KMS::Key", "AWS::EKS::Nodegroup", "AWS::Logs::LogGroup")
    stacks = {f"S{n}": template(kind) for n, kind in enumerate((*large, *more))}
    found = policies(SANDBOX, stacks)

    assert list(found) == ["paceline-sandbox-1", "paceline-sandbox-2"]
    assert all(len("".join(json.dumps(policy).split())) <= MAX_POLICY_SIZE for policy in found.values())
    assert {s["Sid"] for policy in found.values() for s in policy["Statement"]} >= set(stacks)
