"""The AWS Solutions rules, checked at every synthesis (docs/decisions/0004-cdk-nag-as-a-validation-plugin.md)."""

from __future__ import annotations

import json
from typing import Any

import jsii
from aws_cdk import Acknowledgment, App, Stack, Validations
from aws_cdk import aws_s3 as s3
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct, IValidation


def enforce_compliance(app: App) -> None:
    """Fail the synthesis of `app` on every finding that is not acknowledged."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(construct: IConstruct, finding: str, reason: str) -> None:
    """Accept one finding (`IAM5[Resource::*]`) of `construct`; its neighbours and other findings still fail."""
    Validations.of(construct).acknowledge(Acknowledgment(id=f"AwsSolutions-{finding}", reason=reason))


def acknowledge_managed_policy(role: IConstruct, policy: str, reason: str) -> None:
    """Accept that `role` has the policy `policy`, which AWS maintains."""
    acknowledge(role, f"IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{policy}]", reason)


def acknowledge_wildcard(construct: IConstruct, resource: str, reason: str) -> None:
    """Let a policy of `construct` name `resource`, an ARN with a `*` in it.

    `resource` may refer to another stack. How such a reference is written is known only when the stack is synthesized,
    and the finding's id spells it out; so the acknowledgement is made then.
    """
    construct.node.add_validation(_Wildcard(construct, resource, reason))


def acknowledge_objects(construct: IConstruct, bucket: s3.IBucket, reason: str) -> None:
    """Let a policy of `construct` name all objects of `bucket`."""
    acknowledge_wildcard(construct, bucket.arn_for_objects("*"), reason)


@jsii.implements(IValidation)
class _Wildcard:
    """Runs after references are resolved and before the rules are checked; finds no fault itself."""

    def __init__(self, construct: IConstruct, resource: str, reason: str) -> None:
        self._construct, self._resource, self._reason = construct, resource, reason

    def validate(self) -> list[str]:
        flat = _flat(Stack.of(self._construct).resolve(self._resource))
        acknowledge(self._construct, f"IAM5[Resource::{flat}]", self._reason)
        return []


def _flat(value: Any) -> str:
    """How cdk-nag writes a CloudFormation value in the id of a finding (its utils/flatten-cfn-reference)."""
    if isinstance(value, str):
        return value.replace("${", "<").replace("}", ">")
    match value:
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(map(_flat, parts))
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Ref": name}:
            return f"<{name}>"
    return json.dumps(value, separators=(",", ":"))
