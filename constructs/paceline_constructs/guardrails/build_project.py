"""What all CodeBuild projects share: an encrypted log, and the findings of cdk-nag that a source in S3 brings."""

from __future__ import annotations

from typing import Protocol

from aws_cdk import RemovalPolicy
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

# what CDK gives a project with a source in S3 and a key
SOURCE_FINDINGS = {
    "IAM5[Action::s3:GetObject*]": "versions and tags of the one object that is the source",
    "IAM5[Action::s3:GetBucket*]": "location and policy of the bucket of assets",
    "IAM5[Action::s3:List*]": "finding the one object that is the source",
    "IAM5[Action::kms:GenerateDataKey*]": "the team's key, for the project's own output",
    "IAM5[Action::kms:ReEncrypt*]": "the team's key, for the project's own output",
}


class Logged(Protocol):
    """Props of a construct that keeps a log."""

    @property
    def encryption_key(self) -> kms.IKey: ...

    @property
    def log_retention(self) -> logs.RetentionDays: ...

    @property
    def removal_policy(self) -> RemovalPolicy: ...


def logging(scope: Construct, props: Logged) -> codebuild.LoggingOptions:
    """The log group of the project in `scope`: under the team's key, kept as `props` says."""
    group = logs.LogGroup(
        scope,
        "Logs",
        encryption_key=props.encryption_key,
        retention=props.log_retention,
        removal_policy=props.removal_policy,
    )
    return codebuild.LoggingOptions(cloud_watch=codebuild.CloudWatchLoggingOptions(log_group=group))
