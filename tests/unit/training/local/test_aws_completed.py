"""What ministack's own services leave out, read with the SDK after a stack was made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ministack.services.cloudformation import provisioners

Client = Callable[[str], Any]

REPAIR = {
    "Enabled": True,
    "MaxParallelNodesRepairedCount": 1,
    "NodeRepairConfigOverrides": [
        {
            "MinRepairWaitTimeMins": 10,
            "NodeMonitoringCondition": "AcceleratedHardwareReady",
            "NodeUnhealthyReason": "NvidiaXID79Error",
            "RepairAction": "Replace",
        }
    ],
}


def update(type_name: str, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    provisioners._update_resource(type_name, physical_id, old, new, "sandbox-Test", "Thing", {})


@pytest.fixture
def subnet(provision: Any) -> str:
    vpc, _ = provision("AWS::EC2::VPC", {"CidrBlock": "10.1.0.0/16"})
    return str(provision("AWS::EC2::Subnet", {"VpcId": vpc, "CidrBlock": "10.1.0.0/24"})[0])


def test_a_cluster_and_its_node_group(provision: Any, client: Client, subnet: str) -> None:
    key = "arn:aws:kms:us-east-1:1:key/1"
    role = "arn:aws:iam::123456789012:role/eks"
    name, attributes = provision(
        "AWS::EKS::Cluster",
        {
            "Name": "vision",
            "RoleArn": role,
            "ResourcesVpcConfig": {"SubnetIds": [subnet], "EndpointPrivateAccess": True, "EndpointPublicAccess": False},
            "AccessConfig": {"AuthenticationMode": "API"},
            "EncryptionConfig": [{"Provider": {"KeyArn": key}, "Resources": ["secrets"]}],
            "KubernetesNetworkConfig": {"ServiceIpv4Cidr": "172.20.0.0/16"},
        },
    )
    assert attributes["EncryptionConfigKeyArn"] == key
    eks = client("eks")
    cluster = eks.describe_cluster(name=name)["cluster"]
    assert cluster["encryptionConfig"] == [{"provider": {"keyArn": key}, "resources": ["secrets"]}]
    assert cluster["kubernetesNetworkConfig"] == {"serviceIpv4Cidr": "172.20.0.0/16", "ipFamily": "ipv4"}
    assert cluster["resourcesVpcConfig"]["vpcId"].startswith("vpc-")
    assert cluster["resourcesVpcConfig"]["endpointPublicAccess"] is False
    given = {
        "ClusterName": name,
        "LaunchTemplate": {"Id": "lt-1", "Version": "1"},
        "NodegroupName": "gpu",
        "NodeRole": role,
        "Subnets": [subnet],
        "CapacityType": "CAPACITY_BLOCK",
        "NodeRepairConfig": REPAIR,
        "ScalingConfig": {"MinSize": 0, "MaxSize": "2", "DesiredSize": 0},
        "Labels": {"Team": "vision"},
        "Tags": {"team": "vision"},
    }
    group, attributes = provision("AWS::EKS::Nodegroup", given)
    assert attributes["Id"] == "vision/gpu"
    shown = eks.describe_nodegroup(clusterName=name, nodegroupName=group)["nodegroup"]
    assert shown["capacityType"] == "CAPACITY_BLOCK"
    assert shown["labels"] == {"Team": "vision"}
    assert shown["scalingConfig"]["maxSize"] == 2
    assert not shown.keys() & {"instanceTypes", "diskSize"}
    assert "remoteAccessSecurityGroup" not in shown["resources"]
    (override,) = shown["nodeRepairConfig"]["nodeRepairConfigOverrides"]
    assert (override["nodeUnhealthyReason"], override["repairAction"]) == ("NvidiaXID79Error", "Replace")
    update("AWS::EKS::Nodegroup", group, given, {**given, "NodeRepairConfig": {"Enabled": False}})
    shown = eks.describe_nodegroup(clusterName=name, nodegroupName=group)["nodegroup"]
    assert shown["nodeRepairConfig"] == {"enabled": False}


def test_a_launch_template_with_its_network_cards(provision: Any, client: Client) -> None:
    data = {
        "NetworkInterfaces": [
            {"DeviceIndex": 0, "NetworkCardIndex": 0, "InterfaceType": "interface", "Groups": ["sg-1", "sg-2"]},
            {"DeviceIndex": 1, "NetworkCardIndex": 0, "InterfaceType": "efa-only", "Groups": ["sg-1"]},
            {"DeviceIndex": 0, "NetworkCardIndex": 1, "InterfaceType": "efa-only", "Groups": ["sg-1"]},
        ],
        "CapacityReservationSpecification": {"CapacityReservationTarget": {"CapacityReservationId": "cr-1"}},
        "InstanceMarketOptions": {"MarketType": "capacity-block"},
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "VolumeSize": 500}}],
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "team", "Value": "vision"}]}],
    }
    template, _ = provision("AWS::EC2::LaunchTemplate", {"LaunchTemplateData": data})
    ec2 = client("ec2")
    answer = ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=["$Latest"])
    (version,) = answer["LaunchTemplateVersions"]
    assert version["LaunchTemplateData"] == data
    assert version["VersionNumber"] == 1
    with pytest.raises(ClientError, match="NotFound"):
        ec2.describe_launch_template_versions(LaunchTemplateId="lt-404")


def test_no_capacity_block_is_for_sale(client: Client) -> None:
    ec2 = client("ec2")
    wanted = {"InstanceType": "p5en.48xlarge", "InstanceCount": 4, "CapacityDurationHours": 24}
    assert ec2.describe_capacity_block_offerings(**wanted)["CapacityBlockOfferings"] == []


def test_a_budget(provision: Any, client: Client, account: str) -> None:
    given = {
        "Budget": {
            "BudgetName": "vision",
            "BudgetType": "COST",
            "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": 50000, "Unit": "USD"},
        },
        "NotificationsWithSubscribers": [
            {
                "Notification": {"ComparisonOperator": "GREATER_THAN", "NotificationType": "ACTUAL", "Threshold": 80},
                "Subscribers": [{"SubscriptionType": "EMAIL", "Address": "team@example.com"}],
            }
        ],
    }
    name, _ = provision("AWS::Budgets::Budget", given)
    budgets = client("budgets")
    shown = budgets.describe_budget(AccountId=account, BudgetName=name)["Budget"]
    assert shown["BudgetLimit"] == {"Amount": "50000", "Unit": "USD"}
    more = {**given["Budget"], "BudgetLimit": {"Amount": 60000, "Unit": "USD"}}
    update("AWS::Budgets::Budget", name, given, {**given, "Budget": more})
    assert budgets.describe_budget(AccountId=account, BudgetName=name)["Budget"]["BudgetLimit"]["Amount"] == "60000"
    provisioners._delete_resource("AWS::Budgets::Budget", name, given)
    with pytest.raises(ClientError, match="NotFound"):
        budgets.describe_budget(AccountId=account, BudgetName=name)
    with pytest.raises(ValueError, match="Service: Budgets, Status Code: 400"):
        provision("AWS::Budgets::Budget", {"Budget": {**more, "BudgetType": "NONE"}})


def test_an_identity_provider(provision: Any, client: Client, account: str) -> None:
    given = {"Url": "https://token.actions.githubusercontent.com", "ClientIdList": ["sts.amazonaws.com"]}
    arn, _ = provision("AWS::IAM::OIDCProvider", given)
    assert arn == f"arn:aws:iam::{account}:oidc-provider/token.actions.githubusercontent.com"
    iam = client("iam")
    assert iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)["ClientIDList"] == ["sts.amazonaws.com"]
    update("AWS::IAM::OIDCProvider", arn, given, {**given, "ClientIdList": ["other"]})
    assert iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)["ClientIDList"] == ["other"]
    with pytest.raises(ValueError, match="already exists"):
        provision("AWS::IAM::OIDCProvider", given)
    provisioners._delete_resource("AWS::IAM::OIDCProvider", arn, given)
    assert iam.list_open_id_connect_providers()["OpenIDConnectProviderList"] == []


def test_an_identifier_of_several_parts(provision: Any, subnet: str) -> None:
    reserved = {"SubnetId": subnet, "Cidr": "10.1.0.0/28", "ReservationType": "prefix"}
    reservation, _ = provision("AWS::EC2::SubnetCidrReservation", reserved)
    assert reservation.startswith("scr-")
