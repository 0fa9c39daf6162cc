"""The AWS Solutions rules, checked at every synthesis (docs/decisions/0004-cdk-nag-as-a-validation-plugin.md)."""

from __future__ import annotations

import json

import jsii
from aws_cdk import Acknowledgment, App, Stack, Validations
from aws_cdk import aws_s3 as s3
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct, IValidation


def enforce_compliance(app: App) -> None:
    """Fail the synthesis of `app` on every finding that is not acknowledged."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Let the finding `rule` of `construct` pass. `rule` is granular, e.g. `AwsSolutions-IAM5[Resource::*]`."""
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))


def acknowledge_objects(construct: IConstruct, bucket: s3.IBucket, reason: str) -> None:
    """Let a policy in `construct` name all objects of `bucket`, which is in another stack."""
    construct.node.add_validation(_ObjectsOf(construct, bucket, reason))


@jsii.implements(IValidation)
class _ObjectsOf:
    """The finding has the name of the reference between the stacks in its own, and CDK makes that up when it prepares
    the app. Validations run after that and before the rules.
    """

    def __init__(self, construct: IConstruct, bucket: s3.IBucket, reason: str) -> None:
        self.construct, self.bucket, self.reason = construct, bucket, reason

    def validate(self) -> list[str]:
        arn = json.dumps(Stack.of(self.construct).resolve(self.bucket.bucket_arn), separators=(",", ":"))
        acknowledge(self.construct, f"AwsSolutions-IAM5[Resource::{arn}/*]", self.reason)
        return []
