"""The AWS Solutions rules, checked at every synthesis (docs/decisions/0004-cdk-nag-as-a-validation-plugin.md)."""

from __future__ import annotations

from aws_cdk import Acknowledgment, App, Validations
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct


def enforce_compliance(app: App) -> None:
    """Fail the synthesis of `app` on every finding that is not acknowledged."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Let the finding `rule` of `construct` pass. `rule` is granular, e.g. `AwsSolutions-IAM5[Resource::*]`."""
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))
