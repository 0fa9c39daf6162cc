"""A bucket for what must neither leak nor get lost."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

# a multipart upload that took longer has been abandoned; its parts are invisible and cost money
_ABANDONED_AFTER = Duration.days(7)


@dataclass(frozen=True, kw_only=True, slots=True)
class SecureBucketProps:
    """Overwritten and deleted objects can be brought back for `noncurrent_retention`.

    Without `name` CloudFormation makes one up, as it should wherever nobody asks for a name. Without `access_logs`
    accesses are not logged, and the compliance rules want a reason.
    """

    name: str | None = None
    encryption_key: kms.IKey
    access_logs: s3.IBucket | None
    access_logs_prefix: str | None = None
    noncurrent_retention: Duration
    removal_policy: RemovalPolicy


class SecureBucket(s3.Bucket):
    """Versioned, encrypted with the given key, reachable over TLS only, never public."""

    def __init__(self, scope: Construct, construct_id: str, *, props: SecureBucketProps) -> None:
        super().__init__(
            scope,
            construct_id,
            bucket_name=props.name,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=props.encryption_key,
            bucket_key_enabled=True,  # one request to KMS per bucket key instead of one per object
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            server_access_logs_bucket=props.access_logs,
            server_access_logs_prefix=props.access_logs_prefix,
            lifecycle_rules=[
                s3.LifecycleRule(
                    abort_incomplete_multipart_upload_after=_ABANDONED_AFTER,
                    noncurrent_version_expiration=props.noncurrent_retention,
                    expired_object_delete_marker=True,
                )
            ],
            removal_policy=props.removal_policy,
        )
