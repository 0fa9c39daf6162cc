"""What CloudFormation and S3 say, read and translated."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError, ProfileNotFound

from paceline.clients import aws, buckets, cloudformation
from paceline.spec.errors import ClusterError

THEN = datetime(2026, 11, 21, tzinfo=UTC)
TEMPLATE = {"Resources": {"Data": {"Type": "AWS::S3::Bucket"}, "Key": {"Type": "AWS::KMS::Key"}}}


class Pages:
    """A paginator over pages that are given."""

    def __init__(self, *pages: dict[str, Any]) -> None:
        self.pages = pages

    def paginate(self, **_: Any) -> Any:
        return iter(self.pages)


class Stacks:
    """The calls of a CloudFormation client that are made, over `stacks` in two pages."""

    def __init__(self, *stacks: dict[str, Any]) -> None:
        self.stacks = stacks

    def get_paginator(self, name: str) -> Pages:
        if name == "describe_stacks":
            return Pages({"Stacks": self.stacks[:1]}, {"Stacks": self.stacks[1:]})
        made = {"LogicalResourceId": "Data", "PhysicalResourceId": "b-1", "ResourceStatus": "CREATE_COMPLETE"}
        gone = {"LogicalResourceId": "Key", "PhysicalResourceId": "k-1", "ResourceStatus": "DELETE_COMPLETE"}
        return Pages({"StackResourceSummaries": [made, gone]})

    def get_template(self, **_: Any) -> dict[str, Any]:
        return {"TemplateBody": TEMPLATE}


def stack(name: str, status: str = "CREATE_COMPLETE", **more: Any) -> dict[str, Any]:
    return {"StackName": name, "StackStatus": status, "CreationTime": THEN, **more}


def test_the_stacks_of_a_team_are_told_from_those_of_others() -> None:
    client = Stacks(
        stack("vision-Storage", LastUpdatedTime=THEN.replace(month=12), EnableTerminationProtection=True),
        stack("vision-2-Storage"),
        stack("visions-Storage"),
        stack("vision-Eks", "REVIEW_IN_PROGRESS"),
    )
    found = cloudformation.deployment(client, "vision", account="123456789012", region="us-east-1")
    (storage,) = found.stacks
    assert (storage.name, storage.changed.month, storage.protected, storage.settled) == (
        "vision-Storage",
        12,
        True,
        True,
    )
    assert storage.of_type("AWS::S3::Bucket") == ("b-1",)
    assert storage.of_type("AWS::KMS::Key") == ()


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (NoCredentialsError(), "there are no AWS credentials"),
        (ProfileNotFound(profile="x"), "STS refused: The config profile"),
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Get"), "STS refused: An error"),
    ],
)
def test_what_the_sdk_raises_is_said_in_our_words(raised: Exception, message: str) -> None:
    with pytest.raises(ClusterError, match=message) as caught, aws.translated("sts", "sts:GetCallerIdentity"):
        raise raised
    assert caught.value.exit_code == 3
    assert caught.value.problems[0].hint


class Bucket:
    """A bucket whose deletion S3 may refuse."""

    exceptions = SimpleNamespace(NoSuchBucket=KeyError)

    def __init__(self, *pages: dict[str, Any], errors: tuple[dict[str, str], ...] = ()) -> None:
        self.pages, self.errors = pages, errors
        self.deleted: list[str] = []

    def get_paginator(self, _: str) -> Pages:
        return Pages(*self.pages)

    def delete_objects(self, **given: Any) -> dict[str, Any]:
        self.deleted += [item["VersionId"] for item in given["Delete"]["Objects"]]
        return {"Errors": list(self.errors)}


def test_a_bucket_is_emptied_of_versions_and_markers() -> None:
    pages = (
        {"Versions": [{"Key": "a", "VersionId": "1"}, {"Key": "a", "VersionId": "2"}]},
        {"DeleteMarkers": [{"Key": "a", "VersionId": "3"}]},
        {},
    )
    bucket = Bucket(*pages)
    assert list(buckets.empty(bucket, "b")) == [2, 3]
    assert bucket.deleted == ["1", "2", "3"]


def test_a_locked_object_is_named() -> None:
    page = {"Versions": [{"Key": "a", "VersionId": "1"}]}
    with pytest.raises(ClusterError, match="1 objects cannot be deleted: a: AccessDenied"):
        list(buckets.empty(Bucket(page, errors=({"Key": "a", "Code": "AccessDenied"},)), "b"))
