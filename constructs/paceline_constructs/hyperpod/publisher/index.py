"""CloudFormation custom resource: the files of `Files` (name to text) below `Prefix` of `Bucket`."""

import json
import urllib.request

import boto3


def handler(event, context):
    wanted = event["ResourceProperties"]
    answer = {
        "Status": "FAILED",
        "Reason": "see the log of the function",
        "PhysicalResourceId": wanted["Prefix"],
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    try:
        change = remove if event["RequestType"] == "Delete" else put
        for name, text in wanted["Files"].items():
            change(boto3.client("s3"), wanted["Bucket"], f"{wanted['Prefix']}/{name}", text)
        answer["Status"] = "SUCCESS"
    finally:  # CloudFormation waits an hour for an answer that does not come
        body = json.dumps(answer).encode()
        urllib.request.urlopen(urllib.request.Request(event["ResponseURL"], data=body, method="PUT"), timeout=30)


def put(s3, bucket, key, text):
    s3.put_object(Bucket=bucket, Key=key, Body=text.encode())


def remove(s3, bucket, key, text):
    listed = s3.list_object_versions(Bucket=bucket, Prefix=key)
    for version in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())):
        s3.delete_object(Bucket=bucket, Key=key, VersionId=version["VersionId"])
