"""Where a team's container images live."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_kms as kms
from constructs import Construct

# an untagged image is a layer cache or the loser of a push; nobody can pull it by name
_UNTAGGED_FOR = Duration.days(14)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRepositoryProps:
    """Beyond `keep_images` tagged images the oldest go."""

    name: str
    encryption_key: kms.IKey
    keep_images: int
    removal_policy: RemovalPolicy


class ImageRepository(ecr.Repository):
    """A repository whose tags never move: what a run recorded as its image stays that image. Scanned on push."""

    def __init__(self, scope: Construct, construct_id: str, *, props: ImageRepositoryProps) -> None:
        super().__init__(
            scope,
            construct_id,
            repository_name=props.name,
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            encryption=ecr.RepositoryEncryption.KMS,
            encryption_key=props.encryption_key,
            lifecycle_rules=[
                ecr.LifecycleRule(
                    rule_priority=1,
                    description="untagged images",
                    tag_status=ecr.TagStatus.UNTAGGED,
                    max_image_age=_UNTAGGED_FOR,
                ),
                ecr.LifecycleRule(
                    rule_priority=2,
                    description="the oldest images",
                    tag_status=ecr.TagStatus.ANY,
                    max_image_count=props.keep_images,
                ),
            ],
            removal_policy=props.removal_policy,
            empty_on_delete=props.removal_policy is RemovalPolicy.DESTROY,
        )
