"""The AWS Solutions rules, checked at every synthesis."""

from __future__ import annotations

from aws_cdk import Acknowledgment, App, Validations
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct


def enforce_compliance(app: App) -> None:
    """Fail the synthesis of `app` on every finding that is not acknowledged."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(scope: IConstruct, finding: str, reason: str) -> None:
    """Accept one finding on `scope`. `finding` is granular (`AwsSolutions-IAM5[Resource::*]`), never a whole rule."""
    Validations.of(scope).acknowledge(Acknowledgment(id=finding, reason=reason))
