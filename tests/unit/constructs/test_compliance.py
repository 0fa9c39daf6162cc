"""The compliance rules bite, and an acknowledgement covers one finding of one construct."""

from __future__ import annotations

from pathlib import Path

import pytest
from aws_cdk import Acknowledgment, App, Stack, Validations
from aws_cdk import aws_iam as iam

from paceline_constructs.guardrails.compliance import enforce_compliance


def role_that_may_read_everything(stack: Stack, name: str) -> iam.Role:
    role = iam.Role(stack, name, assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    role.add_to_policy(iam.PolicyStatement(actions=["ec2:DescribeInstances"], resources=["*"]))
    return role


def acknowledge(role: iam.Role) -> None:
    finding = Acknowledgment(
        id="AwsSolutions-IAM5[Resource::*]", reason="EC2 has no resource-level permission for Describe"
    )
    Validations.of(role).acknowledge(finding)


@pytest.fixture
def app(tmp_path: Path) -> App:
    app = App(builtin_cloud_formation_validation=False, outdir=str(tmp_path))
    enforce_compliance(app)
    return app


def test_a_finding_fails_the_synthesis(app: App) -> None:
    role_that_may_read_everything(Stack(app, "Stack"), "Role")
    with pytest.raises(RuntimeError, match="Stack/Role/DefaultPolicy"):
        app.synth()


def test_an_acknowledged_finding_passes(app: App) -> None:
    role = role_that_may_read_everything(Stack(app, "Stack"), "Role")
    acknowledge(role)
    app.synth()


def test_an_acknowledgement_does_not_cover_the_neighbour(app: App) -> None:
    stack = Stack(app, "Stack")
    role = role_that_may_read_everything(stack, "Role")
    role_that_may_read_everything(stack, "Neighbour")
    acknowledge(role)
    with pytest.raises(RuntimeError, match="Stack/Neighbour/DefaultPolicy"):
        app.synth()
