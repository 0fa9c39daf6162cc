"""What ministack's API does for a bucket and its CloudFormation handler does not: keep properties, refuse to delete.

Each property is one more row of ministack's own table: property, translation to the API's body, put, delete.
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


def lifecycle(given: Mapping[str, Any]) -> bytes:
    """LifecycleConfiguration, whose rules CloudFormation writes flatter than the API."""
    root = Element("LifecycleConfiguration")  # ministack finds no rules in a namespace
    for rule in given["Rules"]:
        if unknown := rule.keys() - {"Prefix", *_RULE, *_EXPIRATION, *_PARTS}:
            raise ValueError(f"the embedded AWS does not keep {', '.join(sorted(unknown))} of a lifecycle rule")
        node = SubElement(root, "Rule")
        _write(node, rule, _RULE)
        SubElement(SubElement(node, "Filter"), "Prefix").text = rule.get("Prefix", "")
        if rule.keys() & _EXPIRATION.keys():
            _write(SubElement(node, "Expiration"), rule, _EXPIRATION)
        for name, (tag, fields) in _PARTS.items():
            parts = rule.get(name, [])
            for part in parts if isinstance(parts, list) else [parts]:
                _write(SubElement(node, tag), part, fields)
    return tostring(root)


# the template's names, and the API's
_RULE = {"Id": "ID", "Status": "Status"}
_EXPIRATION = {
    "ExpirationInDays": "Days",
    "ExpirationDate": "Date",
    "ExpiredObjectDeleteMarker": "ExpiredObjectDeleteMarker",
}
_PARTS = {
    "Transitions": (
        "Transition",
        {"TransitionInDays": "Days", "TransitionDate": "Date", "StorageClass": "StorageClass"},
    ),
    "NoncurrentVersionTransitions": (
        "NoncurrentVersionTransition",
        {
            "TransitionInDays": "NoncurrentDays",
            "NewerNoncurrentVersions": "NewerNoncurrentVersions",
            "StorageClass": "StorageClass",
        },
    ),
    "NoncurrentVersionExpiration": (
        "NoncurrentVersionExpiration",
        {"NoncurrentDays": "NoncurrentDays", "NewerNoncurrentVersions": "NewerNoncurrentVersions"},
    ),
    "AbortIncompleteMultipartUpload": (
        "AbortIncompleteMultipartUpload",
        {"DaysAfterInitiation": "DaysAfterInitiation"},
    ),
}


def _write(node: Element, given: Mapping[str, Any], fields: Mapping[str, str]) -> None:
    for name, field in fields.items():
        if name in given:
            value = given[name]
            SubElement(node, field).text = str(value).lower() if isinstance(value, bool) else str(value)


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
    ("LifecycleConfiguration", lifecycle, s3._put_bucket_lifecycle, s3._delete_bucket_lifecycle),
    ("LoggingConfiguration", logging, s3._put_bucket_logging, no_logging),
    ("OwnershipControls", ownership, s3._put_bucket_ownership_controls, s3._delete_bucket_ownership_controls),
    ("Tags", tags, s3._put_bucket_tagging, s3._delete_bucket_tagging),
)


def refuse_unless_empty(bucket: str) -> None:
    """ValueError when a bucket holds objects or versions: CloudFormation does not delete those."""
    if (s3._buckets.get(bucket) or {}).get("objects") or s3._bucket_has_versions(bucket):
        raise ValueError(f"The bucket you tried to delete is not empty: {bucket} (Service: S3, Status Code: 409)")
