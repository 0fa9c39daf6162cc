"""What a HyperPod node runs before it joins the cluster."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from aws_cdk import CfnResource, CustomResource, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from paceline_constructs.guardrails.compliance import acknowledge
from paceline_constructs.storage.secure_bucket import SecureBucket, SecureBucketProps

ON_CREATE = "on_create.sh"


class LifecycleScripts(Construct):
    """The scripts of lifecycle/, in a bucket of their own; `source_uri` is what an instance group takes.

    HyperPod reads only from buckets whose name starts with `sagemaker-`, which CDK's asset bucket does not. The scripts
    lie below a hash of their content, so that other scripts are another URI, which running nodes do not notice.
    """

    def __init__(self, scope: Construct, construct_id: str, *, bucket_name: str, encryption_key: kms.IKey) -> None:
        super().__init__(scope, construct_id)
        scripts = {ON_CREATE: _read("lifecycle", ON_CREATE)}
        prefix = hashlib.sha256(repr(sorted(scripts.items())).encode()).hexdigest()[:12]
        self.bucket = SecureBucket(
            self,
            "Bucket",
            props=SecureBucketProps(
                name=bucket_name,
                encryption_key=encryption_key,
                access_logs=None,
                noncurrent_retention=Duration.days(1),
                removal_policy=RemovalPolicy.DESTROY,  # the scripts are in this repository
            ),
        )
        acknowledge(
            self.bucket,
            "S1",
            "the log bucket is in another stack, whose policy would have to name this bucket: a circle of stacks",
        )
        publisher = self._publisher(encryption_key)
        self.published = CustomResource(
            self,
            "Scripts",
            service_token=publisher.function_arn,
            resource_type="Custom::PacelineScripts",
            properties={"Bucket": self.bucket.bucket_name, "Prefix": prefix, "Files": scripts},
        )
        self.source_uri = self.bucket.s3_url_for_object(prefix)

    def grant_read(self, role: iam.IRole) -> None:
        """Read the scripts."""
        self._allow(role, ["s3:ListBucket", "s3:GetBucketLocation"], ["s3:GetObject"])

    def _publisher(self, key: kms.IKey) -> lambda_.Function:
        group = logs.LogGroup(
            self,
            "PublisherLog",
            encryption_key=key,
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
        role = iam.Role(self, "PublisherRole", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        role.add_to_policy(
            iam.PolicyStatement(actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[group.log_group_arn])
        )
        self._allow(role, ["s3:ListBucketVersions"], ["s3:PutObject", "s3:DeleteObjectVersion"])
        role.add_to_policy(iam.PolicyStatement(actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=[key.key_arn]))
        return lambda_.Function(
            self,
            "Publisher",
            description="Puts lifecycle scripts into their bucket, for CloudFormation",
            runtime=lambda_.Runtime.PYTHON_3_14,
            handler="index.handler",
            code=lambda_.Code.from_inline(_read("publisher", "index.py")),
            role=role,
            log_group=group,
            timeout=Duration.minutes(2),
        )

    def _allow(self, role: iam.IRole, bucket_actions: list[str], object_actions: list[str]) -> None:
        arn = self.bucket.bucket_arn
        role.add_to_principal_policy(iam.PolicyStatement(actions=bucket_actions, resources=[arn]))
        role.add_to_principal_policy(iam.PolicyStatement(actions=object_actions, resources=[f"{arn}/*"]))
        resource = self.bucket.node.default_child
        assert isinstance(resource, CfnResource)
        name = Stack.of(self).get_logical_id(resource)
        acknowledge(role, f"IAM5[Resource::<{name}.Arn>/*]", "the bucket holds nothing but the scripts")


def _read(directory: str, name: str) -> str:
    return files(__package__).joinpath(directory, name).read_text(encoding="ascii")
