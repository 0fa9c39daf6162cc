"""The AWS Solutions rules, checked at every synthesis (docs/decisions/0004-cdk-nag-as-a-validation-plugin.md)."""

from __future__ import annotations

from aws_cdk import Acknowledgment, App, Validations
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct


def enforce_compliance(app: App) -> None:
    """Fail the synthesis of `app` on every finding that is not acknowledged."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(construct: IConstruct, finding: str, reason: str) -> None:
    """Accept one finding (`IAM5[Resource::*]`) of `construct`; its neighbours and other findings still fail."""
    Validations.of(construct).acknowledge(Acknowledgment(id=f"AwsSolutions-{finding}", reason=reason))


def acknowledge_managed_policy(role: IConstruct, policy: str, reason: str) -> None:
    """Accept that `role` has the policy `policy`, which AWS maintains."""
    acknowledge(role, f"IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{policy}]", reason)
