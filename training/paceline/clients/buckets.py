"""Empty a bucket: CloudFormation deletes only those that hold nothing, old versions included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from paceline.clients import aws
from paceline.spec.errors import ClusterError


def empty(s3: Any, bucket: str) -> Iterator[int]:
    """Delete every object and every version of it, a page at a time; yields how many are gone so far.

    Nothing is yielded where there is nothing, the bucket itself included. ClusterError when S3 refuses.
    """
    done = 0
    with aws.translated("s3", "s3:ListBucketVersions and s3:DeleteObjectVersion"):
        try:
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
                found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
                objects = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]
                if not objects:
                    continue
                answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
                if errors := answer.get("Errors"):
                    first = f"{errors[0]['Key']}: {errors[0]['Code']}"
                    raise ClusterError(f"{bucket}: {len(errors)} objects cannot be deleted: {first}", "check its locks")
                done += len(objects)
                yield done
        except s3.exceptions.NoSuchBucket:
            return
