"""Where the other buckets write who read what."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_s3 as s3
from constructs import Construct


class AccessLogBucket(s3.Bucket):
    """The target of S3 server access logs, over TLS only, kept for `retention`."""

    def __init__(
        self, scope: Construct, construct_id: str, *, retention: Duration, removal_policy: RemovalPolicy
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            # S3's log delivery cannot write to a bucket that is encrypted with a KMS key
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            lifecycle_rules=[s3.LifecycleRule(expiration=retention, noncurrent_version_expiration=Duration.days(1))],
            removal_policy=removal_policy,
        )
