"""The AWS Solutions rules, checked at every synthesis (docs/decisions/0004-cdk-nag-as-a-validation-plugin.md)."""

from __future__ import annotations

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks


def enforce_compliance(app: App) -> None:
    """Fail the synthesis of `app` on every finding that is not acknowledged."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
