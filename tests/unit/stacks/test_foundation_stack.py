"""What must be true of the network and the key, however the templates look."""

from __future__ import annotations

import pytest
from aws_cdk.assertions import Match, Template

from paceline.spec.names import PARAMETER_EFA_SECURITY_GROUP_ID, PARAMETER_VPC_ID
from stacks.team_stage import TeamStage


@pytest.fixture(scope="module")
def template(sandbox: TeamStage) -> Template:
    return Template.from_stack(sandbox.foundation)


def efa_group(template: Template) -> dict[str, object]:
    [logical_id] = template.find_resources(
        "AWS::EC2::SecurityGroup", {"Properties": {"GroupDescription": Match.string_like_regexp("^EFA")}}
    )
    return {"Fn::GetAtt": [logical_id, "GroupId"]}


def test_efa_members_reach_each_other_in_and_out(template: Template) -> None:
    group = efa_group(template)
    template.has_resource_properties(
        "AWS::EC2::SecurityGroupIngress", {"GroupId": group, "SourceSecurityGroupId": group, "IpProtocol": "-1"}
    )
    template.has_resource_properties(
        "AWS::EC2::SecurityGroupEgress", {"GroupId": group, "DestinationSecurityGroupId": group, "IpProtocol": "-1"}
    )


def test_efa_group_has_no_other_way_out(template: Template) -> None:
    template.has_resource_properties(
        "AWS::EC2::SecurityGroup",
        {
            "GroupDescription": Match.string_like_regexp("^EFA"),
            "SecurityGroupEgress": [Match.object_like({"CidrIp": "127.0.0.1/32"})],
        },
    )


def test_nothing_leads_to_the_internet(template: Template) -> None:
    for kind in ("InternetGateway", "NatGateway", "EIP", "EgressOnlyInternetGateway"):
        template.resource_count_is(f"AWS::EC2::{kind}", 0)
    assert "0.0.0.0/0" not in str(template.to_json())


def test_subnets_are_placed_by_zone_id(template: Template) -> None:
    for zone, block in (("use1-az1", "10.64.0.0/18"), ("use1-az2", "10.64.64.0/18")):
        template.has_resource_properties(
            "AWS::EC2::Subnet",
            {
                "AvailabilityZoneId": zone,
                "AvailabilityZone": Match.absent(),
                "CidrBlock": block,
                "MapPublicIpOnLaunch": False,
            },
        )


def test_aws_services_are_reached_inside_the_vpc(sandbox: TeamStage, template: Template) -> None:
    names = sandbox.foundation.team.parameters.network.interface_endpoints
    for name in names:
        template.has_resource_properties(
            "AWS::EC2::VPCEndpoint",
            {
                "ServiceName": f"com.amazonaws.us-east-1.{name}",
                "VpcEndpointType": "Interface",
                "PrivateDnsEnabled": True,
            },
        )
    template.has_resource_properties("AWS::EC2::VPCEndpoint", {"VpcEndpointType": "Gateway"})
    template.resource_count_is("AWS::EC2::VPCEndpoint", len(names) + 1)


def test_all_traffic_is_logged_to_an_encrypted_group(template: Template) -> None:
    [key] = template.find_resources("AWS::KMS::Key")
    template.has_resource_properties("AWS::EC2::FlowLog", {"ResourceType": "VPC", "TrafficType": "ALL"})
    template.has_resource_properties(
        "AWS::Logs::LogGroup", {"KmsKeyId": {"Fn::GetAtt": [key, "Arn"]}, "RetentionInDays": 30}
    )


def test_key_rotates_and_lets_in_services_only_under_conditions(template: Template) -> None:
    template.has_resource_properties("AWS::KMS::Key", {"EnableKeyRotation": True})
    [key] = template.find_resources("AWS::KMS::Key").values()
    owner, *services = key["Properties"]["KeyPolicy"]["Statement"]
    assert owner["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    sids = ["CloudWatchLogs", "FsxThroughS3", "VolumesOfNodes", "GrantsForVolumesOfNodes", "Alarms", "Events"]
    assert [statement["Sid"] for statement in services] == sids
    *limited, events = services
    conditions = {"ArnLike", "ArnEquals", "StringEquals"}
    assert all(statement["Condition"].keys() & conditions for statement in limited)
    assert events["Principal"] == {"Service": "events.amazonaws.com"}  # which takes no condition
    [through_s3] = [statement for statement in services if statement["Sid"] == "FsxThroughS3"]
    assert through_s3["Condition"]["StringEquals"]["kms:CallerAccount"] == "123456789012"


def test_resources_carry_the_team(template: Template) -> None:
    template.has_resource_properties(
        "AWS::EC2::VPC", {"Tags": Match.array_with([{"Key": "paceline:team", "Value": "sandbox"}])}
    )


@pytest.mark.parametrize("name", [PARAMETER_VPC_ID, PARAMETER_EFA_SECURITY_GROUP_ID], ids=str)
def test_publishes(template: Template, name: str) -> None:
    template.has_resource_properties("AWS::SSM::Parameter", {"Name": f"/paceline/sandbox/{name}"})
