"""Bucket properties of a template that S3's own calls then show."""

from __future__ import annotations

from typing import Any

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


def test_a_dropped_property_goes_back_to_its_default(provision: Any, account: str) -> None:
    name, _ = provision("AWS::S3::Bucket", {**BUCKET, "BucketName": f"data-{account}"})
    provisioners._update_resource("AWS::S3::Bucket", name, BUCKET, {}, "sandbox-Test", "Thing", {})
    assert "AES256" in shown(name)
    assert name not in s3._bucket_tags
    assert "LoggingEnabled" not in s3._bucket_logging_config[name]


def test_without_a_key_the_managed_one_is_named(provision: Any, account: str) -> None:
    rules = [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
    given = {"BucketEncryption": {"ServerSideEncryptionConfiguration": rules}, "BucketName": f"assets-{account}"}
    name, _ = provision("AWS::S3::Bucket", given)
    assert f"arn:aws:kms:us-east-1:{account}:alias/aws/s3" in shown(name)
