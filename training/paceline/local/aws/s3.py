"""Properties of AWS::S3::Bucket that ministack's API keeps but its CloudFormation handler leaves out.

Each is one more row of ministack's own table: property, translation to the API's body, put, delete.
Bodies: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketEncryption.html and its siblings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from ministack.core.responses import get_account_id, get_region
from ministack.services import s3

Row = tuple[str, Callable[[Any], bytes], Callable[..., Any], Callable[[str], Any]]


def encryption(given: Mapping[str, Any]) -> bytes:
    """BucketEncryption."""
    root = Element("ServerSideEncryptionConfiguration", xmlns=s3.S3_NS)
    for rule in given["ServerSideEncryptionConfiguration"]:
        node = SubElement(root, "Rule")
        default = SubElement(node, "ApplyServerSideEncryptionByDefault")
        chosen = dict(rule.get("ServerSideEncryptionByDefault", {}))
        if chosen.get("SSEAlgorithm") == "aws:kms":
            # S3 falls back to the AWS managed key; ministack refuses writes to a bucket that names none
            chosen.setdefault("KMSMasterKeyID", f"arn:aws:kms:{get_region()}:{get_account_id()}:alias/aws/s3")
        for name, value in chosen.items():
            SubElement(default, name).text = str(value)
        SubElement(node, "BucketKeyEnabled").text = str(rule.get("BucketKeyEnabled", False)).lower()
    return tostring(root)


def logging(given: Mapping[str, Any]) -> bytes:
    """LoggingConfiguration."""
    root = Element("BucketLoggingStatus", xmlns=s3.S3_NS)
    enabled = SubElement(root, "LoggingEnabled")
    SubElement(enabled, "TargetBucket").text = given.get("DestinationBucketName", "")
    SubElement(enabled, "TargetPrefix").text = given.get("LogFilePrefix", "")
    return tostring(root)


def no_logging(bucket: str) -> None:
    """S3 has no call to delete it: an empty status turns it off."""
    s3._put_bucket_logging(bucket, tostring(Element("BucketLoggingStatus", xmlns=s3.S3_NS)))


def ownership(given: Mapping[str, Any]) -> bytes:
    """OwnershipControls."""
    root = Element("OwnershipControls", xmlns=s3.S3_NS)
    for rule in given["Rules"]:
        SubElement(SubElement(root, "Rule"), "ObjectOwnership").text = rule["ObjectOwnership"]
    return tostring(root)


def tags(given: Sequence[Mapping[str, str]]) -> bytes:
    """Tags."""
    root = Element("Tagging", xmlns=s3.S3_NS)
    tag_set = SubElement(root, "TagSet")
    for tag in given:
        node = SubElement(tag_set, "Tag")
        SubElement(node, "Key").text, SubElement(node, "Value").text = tag["Key"], tag["Value"]
    return tostring(root)


CONFIGURATIONS: tuple[Row, ...] = (
    ("BucketEncryption", encryption, s3._put_bucket_encryption, s3._delete_bucket_encryption),
    ("LoggingConfiguration", logging, s3._put_bucket_logging, no_logging),
    ("OwnershipControls", ownership, s3._put_bucket_ownership_controls, s3._delete_bucket_ownership_controls),
    ("Tags", tags, s3._put_bucket_tagging, s3._delete_bucket_tagging),
)
