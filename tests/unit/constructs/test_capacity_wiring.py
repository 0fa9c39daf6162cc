"""Whatever the validators let through, EC2 launches: every wiring of every type, bought in every way it is sold."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Template

from paceline.catalog.instance_types import InstanceType, Layout, instance_type, instance_types
from paceline.catalog.purchases import PurchaseKind, purchases
from paceline.catalog.zones import is_region, zone_prefix
from paceline.spec.documents import Document
from paceline_constructs.capacity.capacity_source import CapacitySource, CapacitySourceProps
from paceline_constructs.network.efa_security_group import EfaSecurityGroup
from stacks.settings import Parameters, Team
from stacks.validators.capacity import problems

RESERVATION = "cr-0123456789abcdef0"
START = datetime(2030, 1, 7, 11, 30, tzinfo=UTC)
BOUGHT: dict[str, Any] = {
    "reservation": RESERVATION,
    "arn": "arn:aws:sagemaker:{region}:123456789012:training-plan/spring",
    "instances": 64,
    "starts": START.isoformat(),
    "ends": (START + timedelta(days=14)).isoformat(),
}
# what a purchase of each kind says of itself
FIELDS: dict[PurchaseKind, tuple[str, ...]] = {
    "on-demand": (),
    "spot": (),
    "odcr": (),
    "odcr-attached": ("reservation", "instances"),
    "odcr-interruptible": ("reservation", "instances"),
    "capacity-block": ("reservation", "instances", "starts", "ends"),
    "ultraserver-block": ("reservation", "instances", "starts", "ends"),
    "training-plan": ("arn", "instances", "ends"),
}

Offer = tuple[str, str, PurchaseKind]


def accepted(row: InstanceType, layout: str, kind: PurchaseKind, serves: str) -> bool:
    """Whether a team may write that, in a region where blocks of the type are sold."""
    region, zone = _place(row)
    size = min(row.ultraserver.instances) if row.ultraserver and kind == "ultraserver-block" else 1
    bought = {field: BOUGHT[field] for field in FIELDS[kind]}
    if "arn" in bought:
        bought["arn"] = bought["arn"].format(region=region)
    if "instances" in bought:
        bought["instances"] -= bought["instances"] % size
    source = {"serves": serves, "instance_type": row.instance_type, "layout": layout, "zone": zone, "nodes": 4}
    data = {
        "location": {"account": "123456789012", "region": region},
        "network": {"cidr": "10.64.0.0/16", "subnets": {zone: "10.64.0.0/18"}, "interface_endpoints": []},
        "storage": {"file_system": {"zone": zone, "size_gib": 1200}},
        "registry": {"repositories": ["gpu"]},
        "capacity": {"pool": source | {"purchase": {"kind": kind} | bought}},
    }
    team = Team(name="vision", parameters=Parameters.model_validate(data))
    return not list(problems(team, Document(data=data)))


def _place(row: InstanceType) -> tuple[str, str]:
    """Region and zone of a place where blocks of the type are sold; `us-east-1-dfw-2a` is a Local Zone."""
    place = (row.capacity_block.regions or ("us-east-1",))[0]
    if is_region(place):
        return place, f"{zone_prefix(place)}-az1"
    region, city, number = place.rsplit("-", 2)
    return region, f"{zone_prefix(region)}-{city}{number[:-1]}-az1"


OFFERS = [
    (row.instance_type, layout, kind)
    for row in instance_types().values()
    for layout in row.layouts or {}
    for kind in purchases()
    if any(accepted(row, layout, kind, serves) for serves in ("eks", "slurm"))
]


@pytest.fixture(scope="module")
def launched() -> dict[Offer, dict[str, Any]]:
    """The launch template of every offer, made in one stack."""
    stack = Stack(
        App(builtin_cloud_formation_validation=False),
        "Bench",
        env=Environment(account="123456789012", region="us-east-1"),
    )
    vpc = ec2.Vpc.from_vpc_attributes(stack, "Vpc", vpc_id="vpc-1", availability_zones=["use1-az1"])
    subnet = ec2.Subnet.from_subnet_id(stack, "Subnet", "subnet-1")
    efa, key = EfaSecurityGroup(stack, "Efa", vpc=vpc), kms.Key(stack, "Key")
    made: dict[Offer, str] = {}
    for name, layout, kind in OFFERS:
        row = instance_type(name)
        wiring = row.layout(layout)
        assert wiring is not None
        props = CapacitySourceProps(
            instance_type=row,
            layout=wiring,
            zone_id="use1-az1",
            subnet=subnet,
            efa=efa,
            purchase=kind,
            reservation=RESERVATION if "reservation" in FIELDS[kind] else None,
            nodes=4,
            volume_gib=500,
            encryption_key=key,
        )
        source = CapacitySource(stack, f"{name}-{layout}-{kind}", props=props)
        made[name, layout, kind] = stack.get_logical_id(source.launch_template)
    templates = Template.from_stack(stack).find_resources("AWS::EC2::LaunchTemplate")
    return {offer: templates[name]["Properties"]["LaunchTemplateData"] for offer, name in made.items()}


def test_every_type_that_is_described_and_every_way_to_buy_is_tried() -> None:
    assert {name for name, _, _ in OFFERS} == {row.instance_type for row in instance_types().values() if row.layouts}
    assert {kind for _, _, kind in OFFERS} == {kind for kind, row in purchases().items() if row.eks or row.pcs}


@pytest.mark.parametrize("offer", OFFERS, ids="-".join)
def test_ec2_launches_it(offer: Offer, launched: dict[Offer, dict[str, Any]]) -> None:
    name, layout, kind = offer
    row, data = instance_type(name), launched[offer]
    wiring = row.layout(layout)
    assert wiring is not None
    assert data["InstanceType"] == name
    _check_interfaces(row, wiring, data["NetworkInterfaces"])
    _check_purchase(kind, data)


def _check_interfaces(row: InstanceType, wiring: Layout, interfaces: list[dict[str, Any]]) -> None:
    """EC2 User Guide, efa-acc-inst-types.html and using-eni.html; AWS refuses the wrong ones only at launch."""
    slots = {(i["NetworkCardIndex"], i["DeviceIndex"]): i["InterfaceType"] for i in interfaces}
    efa = Counter(card for (card, _), kind in slots.items() if kind == "efa-only")
    assert len(slots) == len(interfaces) <= (row.max_enis or 0)
    assert set(slots.values()) <= {"interface", "efa-only"}
    assert slots[0, 0] == "interface"
    assert max(card for card, _ in slots) < (row.network_cards or 0)
    assert max(device for _, device in slots) < (row.max_enis_per_card or row.max_enis or 0)
    assert set(efa.values()) <= {1}
    assert efa.total() <= (row.max_efa_interfaces or 0)
    assert (efa.total() > 0) == row.has_efa
    if row.has_efa:
        assert (slots.get((0, 1)) == "efa-only") == (0 in efa) == bool(row.efa_on_card_0)
    assert all(slots[card, 0] == "efa-only" for card in efa if card > 0)
    assert sum(kind == "interface" for kind in slots.values()) == wiring.min_private_ips
    assert not any("SubnetId" in i or "AssociatePublicIpAddress" in i for i in interfaces)


def _check_purchase(kind: PurchaseKind, data: dict[str, Any]) -> None:
    """Capacity that is reserved is named; a group beside what is placed already ends in a lack of capacity."""
    rules = purchases()[kind]
    assert ("CapacityReservationSpecification" in data) == rules.reserved
    assert ("Placement" in data) == (rules.placement == "own")
    assert data.get("InstanceMarketOptions", {}).get("MarketType") == rules.market
