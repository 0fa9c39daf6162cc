"""TrainingVpc on its own: what the props decide."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from aws_cdk import App, Environment, RemovalPolicy, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk.assertions import Template

from paceline_constructs.network.training_vpc import TrainingVpc, TrainingVpcProps


def build(subnets: dict[str, str], endpoints: list[str]) -> tuple[App, Stack]:
    app = App(builtin_cloud_formation_validation=False)
    stack = Stack(app, "Stack", env=Environment(account="123456789012", region="us-east-1"))
    props = TrainingVpcProps(
        cidr=IPv4Network("10.0.0.0/16"),
        subnets={zone: IPv4Network(block) for zone, block in subnets.items()},
        interface_endpoints=endpoints,
        encryption_key=kms.Key(stack, "Key"),
        flow_log_retention=logs.RetentionDays.ONE_WEEK,
        removal_policy=RemovalPolicy.DESTROY,
    )
    TrainingVpc(stack, "Network", props=props)
    return app, stack


def synthesize(subnets: dict[str, str], endpoints: list[str]) -> Template:
    return Template.from_stack(build(subnets, endpoints)[1])


def test_nothing_is_looked_up() -> None:
    """A context look-up would need credentials at synthesis."""
    app, _ = build({"use1-az1": "10.0.0.0/18"}, ["sts"])
    manifest = json.loads((Path(app.synth().directory) / "manifest.json").read_text())
    assert "missing" not in manifest


def test_another_zone_moves_no_subnet() -> None:
    one = synthesize({"use1-az4": "10.0.64.0/18"}, [])
    two = synthesize({"use1-az1": "10.0.0.0/18", "use1-az4": "10.0.64.0/18"}, [])
    assert one.find_resources("AWS::EC2::Subnet").items() <= two.find_resources("AWS::EC2::Subnet").items()


def test_every_zone_has_a_route_to_s3() -> None:
    template = synthesize({"use1-az1": "10.0.0.0/18", "use1-az2": "10.0.64.0/18"}, [])
    [endpoint] = template.find_resources("AWS::EC2::VPCEndpoint").values()
    assert len(endpoint["Properties"]["RouteTableIds"]) == 2


@pytest.mark.parametrize("endpoints", [[], ["sts", "ecr.api"]])
def test_the_endpoints_share_one_group_that_lets_in_https_from_the_vpc(endpoints: list[str]) -> None:
    template = synthesize({"use1-az1": "10.0.0.0/18"}, endpoints)
    groups = template.find_resources("AWS::EC2::SecurityGroup")
    assert len(groups) == (1 if endpoints else 0)
    for group in groups.values():
        [rule] = group["Properties"]["SecurityGroupIngress"]
        assert (rule["CidrIp"], rule["FromPort"], rule["ToPort"]) == ("10.0.0.0/16", 443, 443)
