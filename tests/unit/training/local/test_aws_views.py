"""The service APIs over what is remembered, asked as the SDKs ask."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from ministack import app
from ministack.core.router import detect_service

from paceline.local.aws.ec2 import call, text

SIGNED = "AWS4-HMAC-SHA256 Credential=123456789012/20260101/us-east-1/fsx/aws4_request, SignedHeaders=host, Signature=0"
LUSTRE = {
    "FileSystemType": "LUSTRE",
    "StorageCapacity": "4800",
    "LustreConfiguration": {"DeploymentType": "PERSISTENT_2", "EfaEnabled": True},
}


def fsx(operation: str, **request: Any) -> tuple[int, dict[str, Any]]:
    headers = {"authorization": SIGNED, "x-amz-target": f"AWSSimbaAPIService_v20180301.{operation}"}
    service = detect_service("POST", "/", headers, {})
    handler = app.SERVICE_HANDLERS[service]
    status, _, body = asyncio.run(handler("POST", "/", headers, json.dumps(request).encode(), {}))
    return status, json.loads(body)


@pytest.fixture
def file_system(provision: Any) -> str:
    vpc, _ = provision("AWS::EC2::VPC", {"CidrBlock": "10.1.0.0/16"})
    subnet, _ = provision("AWS::EC2::Subnet", {"VpcId": vpc, "CidrBlock": "10.1.0.0/24"})
    return str(provision("AWS::FSx::FileSystem", {**LUSTRE, "SubnetIds": [subnet]})[0])


def test_a_file_system(file_system: str, account: str) -> None:
    status, answer = fsx("DescribeFileSystems", FileSystemIds=[file_system])
    (shown,) = answer["FileSystems"]
    assert status == 200
    assert (shown["FileSystemId"], shown["OwnerId"], shown["Lifecycle"]) == (file_system, account, "AVAILABLE")
    assert shown["StorageCapacity"] == 4800
    assert shown["VpcId"].startswith("vpc-")
    assert shown["LustreConfiguration"]["EfaEnabled"] is True
    assert len(shown["LustreConfiguration"]["MountName"]) == 8


def test_a_file_system_of_another_type(provision: Any) -> None:
    settings = {"DeploymentType": "SINGLE_AZ_HA_2", "ThroughputCapacity": 640}
    given = {"FileSystemType": "OPENZFS", "StorageCapacity": 2048, "SubnetIds": ["s"], "OpenZFSConfiguration": settings}
    identifier, attributes = provision("AWS::FSx::FileSystem", given)
    (shown,) = fsx("DescribeFileSystems", FileSystemIds=[identifier])[1]["FileSystems"]
    assert shown["OpenZFSConfiguration"] == {**settings, "RootVolumeId": attributes["RootVolumeId"]}
    assert "LustreConfiguration" not in shown


def test_associations_of_one_file_system(provision: Any, file_system: str) -> None:
    for owner in (file_system, "fs-other"):
        properties = {"FileSystemId": owner, "FileSystemPath": "/data", "DataRepositoryPath": "s3://bucket/data/"}
        provision("AWS::FSx::DataRepositoryAssociation", properties)
    condition = {"Name": "file-system-id", "Values": [file_system]}
    (shown,) = fsx("DescribeDataRepositoryAssociations", Filters=[condition])[1]["Associations"]
    assert (shown["FileSystemId"], shown["DataRepositoryPath"]) == (file_system, "s3://bucket/data/")
    assert len(fsx("DescribeDataRepositoryAssociations")[1]["Associations"]) == 2


def test_what_is_not_there_and_what_is_not_answered(account: str) -> None:
    status, answer = fsx("DescribeFileSystems", FileSystemIds=["fs-404"])
    assert (status, answer["__type"]) == (400, "FileSystemNotFound")
    status, answer = fsx("CreateBackup")
    assert (status, answer["__type"]) == (400, "UnknownOperationException")


def test_capacity_reservations(provision: Any) -> None:
    tags = [{"ResourceType": "capacity-reservation", "Tags": [{"Key": "team", "Value": "vision"}]}]
    properties = {
        "AvailabilityZoneId": "use1-az2",
        "InstanceCount": 2,
        "InstancePlatform": "Linux/UNIX",
        "InstanceType": "p5.48xlarge",
        "TagSpecifications": tags,
    }
    reservation, _ = provision("AWS::EC2::CapacityReservation", properties)
    shown = call("DescribeCapacityReservations", {"CapacityReservationId.1": reservation})
    assert text(shown, "capacityReservationId") == reservation
    assert [text(shown, name) for name in ("totalInstanceCount", "state", "instanceType", "value")] == [
        "2",
        "active",
        "p5.48xlarge",
        "vision",
    ]
    assert (text(shown, "availabilityZoneId"), text(shown, "availabilityZone")) == ("use1-az2", "us-east-1b")
    for pattern, found in (("p5.*", reservation), ("p6*", "")):
        asked = {"Filter.1.Name": "instance-type", "Filter.1.Value.1": pattern}
        assert text(call("DescribeCapacityReservations", asked), "capacityReservationId") == found
    with pytest.raises(ValueError, match="do not exist"):
        call("DescribeCapacityReservations", {"CapacityReservationId.1": "cr-404"})
