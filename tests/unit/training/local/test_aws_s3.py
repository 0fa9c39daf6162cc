"""Bucket properties of a template that S3's own calls then show."""

from __future__ import annotations

from typing import Any

import pytest
from ministack.services import s3
from ministack.services.cloudformation import provisioners

BUCKET = {
    "BucketEncryption": {
        "ServerSideEncryptionConfiguration": [
            {
                "BucketKeyEnabled": True,
                "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "arn:aws:kms:k"},
            }
        ]
    },
    "LifecycleConfiguration": {
        "Rules": [
            {
                "Id": "old",
                "Prefix": "data/",
                "Status": "Enabled",
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                "ExpirationInDays": 365,
                "NoncurrentVersionExpiration": {"NoncurrentDays": 30, "NewerNoncurrentVersions": 2},
                "Transitions": [{"StorageClass": "GLACIER", "TransitionInDays": 90}],
            },
            {"Status": "Disabled", "ExpiredObjectDeleteMarker": True},
        ]
    },
    "LoggingConfiguration": {"DestinationBucketName": "logs", "LogFilePrefix": "data/"},
    "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
    "Tags": [{"Key": "paceline:team", "Value": "sandbox"}],
}


def shown(name: str) -> str:
    body = s3._get_bucket_encryption(name)[2]
    return body if isinstance(body, str) else body.decode()


def test_what_the_template_says_is_kept(provision: Any, account: str) -> None:
    name, _ = provision("AWS::S3::Bucket", {**BUCKET, "BucketName": f"data-{account}"})
    assert "<SSEAlgorithm>aws:kms</SSEAlgorithm>" in shown(name)
    assert "<KMSMasterKeyID>arn:aws:kms:k</KMSMasterKeyID>" in shown(name)
    assert "<BucketKeyEnabled>true</BucketKeyEnabled>" in shown(name)
    assert s3._bucket_tags[name] == {"paceline:team": "sandbox"}
    assert "<TargetPrefix>data/</TargetPrefix>" in s3._bucket_logging_config[name]
    assert "BucketOwnerEnforced" in s3._buckets[name]["_ownership_controls"]


def test_lifecycle_rules_are_shown_as_the_api_writes_them(provision: Any, client: Any, account: str) -> None:
    name, _ = provision("AWS::S3::Bucket", {**BUCKET, "BucketName": f"data-{account}"})
    old, marker = client("s3").get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert old == {
        "ID": "old",
        "Filter": {"Prefix": "data/"},
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        "Expiration": {"Days": 365},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 30, "NewerNoncurrentVersions": 2},
        "Transitions": [{"Days": 90, "StorageClass": "GLACIER"}],
    }
    assert (marker["Status"], marker["Expiration"]) == ("Disabled", {"ExpiredObjectDeleteMarker": True})


def test_a_lifecycle_rule_that_would_be_lost_is_refused(provision: Any, account: str) -> None:
    rules = [{"Status": "Enabled", "ExpirationInDays": 1, "TagFilters": [{"Key": "a", "Value": "b"}]}]
    with pytest.raises(ValueError, match="does not keep TagFilters of a lifecycle rule"):
        provision("AWS::S3::Bucket", {"LifecycleConfiguration": {"Rules": rules}})


def test_a_bucket_that_holds_something_is_not_deleted(provision: Any, client: Any, account: str) -> None:
    api = client("s3")
    given = {"BucketName": f"data-{account}", "VersioningConfiguration": {"Status": "Enabled"}}
    name, _ = provision("AWS::S3::Bucket", given)
    version = api.put_object(Bucket=name, Key="shard", Body=b"tokens")["VersionId"]
    marker = api.delete_object(Bucket=name, Key="shard")["VersionId"]
    with pytest.raises(ValueError, match="not empty"):
        provisioners._delete_resource("AWS::S3::Bucket", name, given)
    for held in (version, marker):
        api.delete_object(Bucket=name, Key="shard", VersionId=held)
    provisioners._delete_resource("AWS::S3::Bucket", name, given)
    assert name not in s3._buckets


def test_a_dropped_property_goes_back_to_its_default(provision: Any, account: str) -> None:
    name, _ = provision("AWS::S3::Bucket", {**BUCKET, "BucketName": f"data-{account}"})
    provisioners._update_resource("AWS::S3::Bucket", name, BUCKET, {}, "sandbox-Test", "Thing", {})
    assert "AES256" in shown(name)
    assert name not in s3._bucket_tags
    assert name not in s3._bucket_lifecycle
    assert "LoggingEnabled" not in s3._bucket_logging_config[name]


def test_without_a_key_the_managed_one_is_named(provision: Any, account: str) -> None:
    rules = [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
    given = {"BucketEncryption": {"ServerSideEncryptionConfiguration": rules}, "BucketName": f"assets-{account}"}
    name, _ = provision("AWS::S3::Bucket", given)
    assert f"arn:aws:kms:us-east-1:{account}:alias/aws/s3" in shown(name)
