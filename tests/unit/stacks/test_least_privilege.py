"""What no statement of any policy may say, in any stack of a team."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Template

from stacks.team_stage import TeamStage
from tests.cluster_teams import HYPERPOD, SLURM, Make, source

# Actions that know no resource, by IAM's service authorization reference, or those of AWS's own guide for a role.
UNBOUND = {
    "ecr": {"GetAuthorizationToken"},
    "ec2": {
        "AssignPrivateIpAddresses",
        "AttachNetworkInterface",
        "CreateNetworkInterface",
        "CreateNetworkInterfacePermission",
        "DeleteNetworkInterface",
        "DeleteNetworkInterfacePermission",
        "DetachNetworkInterface",
        "ModifyNetworkInterfaceAttribute",
        "UnassignPrivateIpAddresses",
    },
    "pcs": {"RegisterComputeNodeGroupInstance"},
}
READS = ("Describe", "List")


@pytest.fixture(scope="module")
def stages(make_team: Make) -> list[TeamStage]:
    everything = {
        "observability": {},
        "governance": {
            "researchers": {"trusted": ["arn:aws:iam::123456789012:role/research"]},
            "operators": {"trusted": ["arn:aws:iam::123456789012:role/operations"]},
        },
        "delivery": {"repository": "acme/platform", "branches": ["main"], "preview": True},
    }
    hosts = {"controller": {"role": "controller", "instance_type": "m5.4xlarge", "zone": "use1-az1"}}
    return [
        make_team(slurm=SLURM, capacity={"p5": source("slurm")}, **everything),
        make_team(hyperpod={**HYPERPOD, "groups": hosts}, capacity={"p5": source("hyperpod")}, **everything),
    ]


def statements(stages: list[TeamStage], kind: str, document: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for stage in stages:
        for stack in stage.node.children:
            assert isinstance(stack, Stack)
            for name, resource in Template.from_stack(stack).find_resources(kind).items():
                for statement in resource["Properties"][document]["Statement"]:
                    yield f"{stack.node.id}/{name}", statement


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_what_is_allowed_everywhere_reads_or_knows_no_resource(stages: list[TeamStage]) -> None:
    found = 0
    for name, statement in statements(stages, "AWS::IAM::Policy", "PolicyDocument"):
        if "*" not in [resource for resource in listed(statement["Resource"]) if isinstance(resource, str)]:
            continue
        for action in listed(statement["Action"]):
            service, _, verb = action.partition(":")
            assert verb.startswith(READS) or verb in UNBOUND.get(service, ()) or "Condition" in statement, (
                name,
                action,
            )
            found += 1
    assert found


def test_no_policy_allows_a_whole_service(stages: list[TeamStage]) -> None:
    for name, statement in statements(stages, "AWS::IAM::Policy", "PolicyDocument"):
        assert not [action for action in listed(statement["Action"]) if action.endswith(":*")], name


def test_nobody_is_trusted_without_a_name_or_a_condition(stages: list[TeamStage]) -> None:
    for name, statement in statements(stages, "AWS::IAM::Role", "AssumeRolePolicyDocument"):
        principal = statement["Principal"]
        assert principal != "*" and "*" not in listed(principal.get("AWS", [])), name
        if "AWS" in principal or "Federated" in principal:
            assert statement["Condition"], name


def test_the_key_serves_strangers_under_conditions_only(stages: list[TeamStage]) -> None:
    """But for EventBridge, which brings nothing that a condition could look at."""
    for name, statement in statements(stages, "AWS::KMS::Key", "KeyPolicy"):
        if statement.get("Sid") in (None, "Events"):  # the account itself; see observability/alerts.py
            continue
        assert statement["Condition"], (name, statement["Sid"])


def test_nodes_record_sessions_and_send_metrics(stages: list[TeamStage]) -> None:
    allowed: dict[str, set[str]] = {}
    for name, statement in statements(stages, "AWS::IAM::Policy", "PolicyDocument"):
        allowed.setdefault(name.rpartition("DefaultPolicy")[0], set()).update(listed(statement["Action"]))
    for role in ("Slurm/NodeRole", "HyperPod/InstanceRole"):
        assert allowed[role] >= {"logs:PutLogEvents", "aps:RemoteWrite", "kms:Decrypt"}
