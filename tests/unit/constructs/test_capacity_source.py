"""Launch templates: what each way to buy asks of them. That EC2 takes every wiring: test_capacity_wiring.py."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Match, Template

from paceline.catalog.instance_types import InstanceType, Layout, instance_type, instance_types
from paceline.catalog.purchases import PurchaseKind, purchases
from paceline_constructs.capacity.capacity_source import CapacitySource, CapacitySourceProps
from paceline_constructs.network.efa_security_group import EfaSecurityGroup

TYPE = instance_type("p5en.48xlarge")
RESERVATION = "cr-0123456789abcdef0"
BLOCKS: tuple[PurchaseKind, ...] = ("capacity-block", "ultraserver-block")


class Bench:
    """A stack to put sources into."""

    def __init__(self) -> None:
        app = App(builtin_cloud_formation_validation=False)
        self.stack = Stack(app, "Bench", env=Environment(account="123456789012", region="us-east-1"))
        vpc = ec2.Vpc.from_vpc_attributes(self.stack, "Vpc", vpc_id="vpc-1", availability_zones=["use1-az1"])
        self.subnet = ec2.Subnet.from_subnet_id(self.stack, "Subnet", "subnet-1")
        self.efa = EfaSecurityGroup(self.stack, "Efa", vpc=vpc)
        self.cluster = ec2.SecurityGroup.from_security_group_id(self.stack, "Cluster", "sg-cluster")
        self.key = kms.Key(self.stack, "Key")

    def add(self, construct_id: str = "Source", **changes: Any) -> CapacitySource:
        row: InstanceType = changes.get("instance_type", TYPE)
        settings: dict[str, Any] = {
            "instance_type": row,
            "layout": row.layout(),
            "zone_id": "use1-az1",
            "subnet": self.subnet,
            "efa": self.efa,
            "security_groups": [self.cluster],
            "purchase": "on-demand",
            "nodes": 4,
            "volume_gib": 500,
            "encryption_key": self.key,
        }
        return CapacitySource(self.stack, construct_id, props=CapacitySourceProps(**(settings | changes)))

    @property
    def template(self) -> Template:
        return Template.from_stack(self.stack)

    def launched(self) -> dict[str, Any]:
        [template] = self.template.find_resources("AWS::EC2::LaunchTemplate").values()
        data: dict[str, Any] = template["Properties"]["LaunchTemplateData"]
        return data


LAYOUTS = [
    pytest.param(row, layout, id=f"{row.instance_type}-{name}")
    for row in instance_types().values()
    for name, layout in (row.layouts or {}).items()
]


@pytest.fixture(scope="module")
def wired() -> dict[tuple[str, str], dict[str, Any]]:
    """The template of every layout of every type, made in one stack."""
    bench = Bench()
    made: dict[tuple[str, str], CapacitySource] = {}
    for row in instance_types().values():
        for name, layout in (row.layouts or {}).items():
            source = bench.add(f"{row.instance_type}-{name}", instance_type=row, layout=layout)
            made[row.instance_type, str(layout)] = source
    templates = bench.template.find_resources("AWS::EC2::LaunchTemplate")
    logical = {key: bench.stack.get_logical_id(source.launch_template) for key, source in made.items()}
    return {key: templates[name]["Properties"]["LaunchTemplateData"] for key, name in logical.items()}


@pytest.mark.parametrize(("row", "layout"), LAYOUTS)
def test_every_interface_carries_the_efa_group_and_those_with_an_address_the_others(
    row: InstanceType, layout: Layout, wired: dict[tuple[str, str], dict[str, Any]]
) -> None:
    for interface in wired[row.instance_type, str(layout)]["NetworkInterfaces"]:
        efa, *others = interface["Groups"]
        assert efa["Fn::GetAtt"][0].startswith("Efa")
        assert others == (["sg-cluster"] if interface["InterfaceType"] == "interface" else [])


@pytest.mark.parametrize("kind", [kind for kind, row in purchases().items() if row.eks or row.pcs])
def test_the_placement_fits_the_purchase(kind: PurchaseKind) -> None:
    bench = Bench()
    bought = purchases()[kind].reserved and kind != "odcr"
    bench.add(purchase=kind, reservation=RESERVATION if bought else None)
    grouped = kind in ("on-demand", "spot", "odcr")
    bench.template.resource_count_is("AWS::EC2::PlacementGroup", 1 if grouped else 0)
    assert ("Placement" in bench.launched()) == grouped


@pytest.mark.parametrize(
    ("kind", "market"),
    [
        ("on-demand", None),
        ("spot", None),  # the orchestrator asks for it
        ("odcr", None),
        ("odcr-attached", None),
        ("odcr-interruptible", "interruptible-capacity-reservation"),
        ("capacity-block", "capacity-block"),
        ("ultraserver-block", "capacity-block"),
    ],
)
def test_the_market_fits_the_purchase(kind: PurchaseKind, market: str | None) -> None:
    bench = Bench()
    bench.add(purchase=kind, reservation=RESERVATION if kind in (*BLOCKS, "odcr-interruptible") else None)
    assert bench.launched().get("InstanceMarketOptions") == ({"MarketType": market} if market else None)


@pytest.mark.parametrize("kind", [*BLOCKS, "odcr-attached", "odcr-interruptible"])
def test_what_was_bought_is_named(kind: PurchaseKind) -> None:
    bench = Bench()
    bench.add(purchase=kind, reservation=RESERVATION)
    target = bench.launched()["CapacityReservationSpecification"]["CapacityReservationTarget"]
    assert target == {"CapacityReservationId": RESERVATION}
    bench.template.resource_count_is("AWS::EC2::CapacityReservation", 0)


def test_an_attached_reservation_keeps_the_group_that_it_was_made_in() -> None:
    bench = Bench()
    bench.add(purchase="odcr-attached", reservation=RESERVATION, placement_group="theirs")
    assert bench.launched()["Placement"] == {"GroupName": "theirs"}
    bench.template.resource_count_is("AWS::EC2::PlacementGroup", 0)


def test_a_reservation_is_made_inside_the_group_and_named_by_the_template() -> None:
    bench = Bench()
    source = bench.add(purchase="odcr")
    [group] = bench.template.find_resources("AWS::EC2::PlacementGroup")
    [reservation] = bench.template.find_resources("AWS::EC2::CapacityReservation")
    in_group = {"Fn::GetAtt": [group, "GroupName"]}
    bench.template.has_resource_properties(
        "AWS::EC2::CapacityReservation",
        {
            "InstanceType": "p5en.48xlarge",
            "InstanceCount": 4,
            "AvailabilityZoneId": "use1-az1",
            "InstanceMatchCriteria": "targeted",
            "EndDateType": "unlimited",
            "EndDate": Match.absent(),
            "PlacementGroupArn": {
                "Fn::Join": [
                    "",
                    [
                        "arn:",
                        {"Ref": "AWS::Partition"},
                        ":ec2:us-east-1:123456789012:placement-group/",
                        in_group,
                    ],
                ]
            },
        },
    )
    launched = bench.launched()
    assert launched["Placement"] == {"GroupName": in_group}
    target = launched["CapacityReservationSpecification"]["CapacityReservationTarget"]
    assert target == {"CapacityReservationId": {"Fn::GetAtt": [reservation, "Id"]}}
    assert source.reservation is not None


def test_a_limited_reservation_ends_in_utc() -> None:
    bench = Bench()
    bench.add(purchase="odcr", ends=datetime.fromisoformat("2027-03-01T12:00:00+02:00"))
    bench.template.has_resource_properties(
        "AWS::EC2::CapacityReservation", {"EndDateType": "limited", "EndDate": "2027-03-01T10:00:00Z"}
    )


def test_a_node_is_closed_and_encrypted() -> None:
    bench = Bench()
    bench.add(tags={"paceline:team": "vision"})
    launched = bench.launched()
    assert launched["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    [root] = launched["BlockDeviceMappings"]
    assert root["Ebs"]["Encrypted"] is True
    assert root["Ebs"]["KmsKeyId"]["Fn::GetAtt"][0].startswith("Key")
    assert (root["Ebs"]["VolumeType"], root["Ebs"]["VolumeSize"]) == ("gp3", 500)
    assert {each["ResourceType"] for each in launched["TagSpecifications"]} == {
        "instance",
        "volume",
        "network-interface",
    }


def test_what_eks_and_pcs_refuse_in_a_template_is_left_out() -> None:
    """EKS User Guide, launch-templates.html; AWS PCS User Guide, working-with_launch-templates_overview.html."""
    bench = Bench()
    bench.add(user_data="MIME-Version: 1.0")
    launched = bench.launched()
    assert not launched.keys() & {"IamInstanceProfile", "ImageId", "KeyName", "SecurityGroupIds", "HibernationOptions"}
    assert launched["UserData"] == {"Fn::Base64": "MIME-Version: 1.0"}


def test_what_node_groups_ask_of_a_source() -> None:
    source = Bench().add(
        purchase="capacity-block",
        reservation=RESERVATION,
        nodes=8,
        min_nodes=2,
        spares=1,
        ends=datetime(2027, 1, 1, tzinfo=UTC),
    )
    assert (source.nodes, source.min_nodes, source.spares) == (8, 2, 1)
    assert (source.eks_capacity_type, source.pcs_purchase_option) == ("CAPACITY_BLOCK", "CAPACITY_BLOCK")
    assert (source.instance_type, source.purchase_kind) == ("p5en.48xlarge", "capacity-block")
    assert source.ends == datetime(2027, 1, 1, tzinfo=UTC)
    assert source.hardware.family == "nvidia"
