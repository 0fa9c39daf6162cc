"""What the provider schemas say about a template, in CloudFormation's words."""

from __future__ import annotations

import pytest

from paceline.local.aws.schemas import Schema, load

FILE_SYSTEM = {"FileSystemType": "LUSTRE", "SubnetIds": ["subnet-1"]}


def schema(**document: object) -> Schema:
    return Schema(type_name="Test::One::Thing", document={"properties": {}, **document})


def test_a_complete_resource_has_no_problems() -> None:
    properties = {**FILE_SYSTEM, "LustreConfiguration": {"DeploymentType": "PERSISTENT_2", "EfaEnabled": True}}
    assert load()["AWS::FSx::FileSystem"].problems(properties) == []


def test_every_problem_is_named_with_its_path() -> None:
    properties = {"FileSystemType": "LUSTRE", "Color": "red", "LustreConfiguration": {"Turbo": True}}
    assert load()["AWS::FSx::FileSystem"].problems(properties) == [
        "#: required key [SubnetIds] not found",
        "#: extraneous key [Color] is not permitted",
        "#/LustreConfiguration: extraneous key [Turbo] is not permitted",
    ]


def test_items_of_lists_are_checked() -> None:
    reservation = {
        "InstanceCount": 1,
        "InstancePlatform": "Linux/UNIX",
        "InstanceType": "p5.48xlarge",
        "TagSpecifications": [{"Nonsense": 1}],
    }
    problems = load()["AWS::EC2::CapacityReservation"].problems(reservation)
    assert problems == ["#/TagSpecifications/0: extraneous key [Nonsense] is not permitted"]


def test_an_enumerated_value_is_checked() -> None:
    one = schema(properties={"Size": {"type": "string", "enum": ["SMALL", "LARGE"]}})
    assert one.problems({"Size": "LARGE"}) == []
    assert one.problems({"Size": "HUGE"}) == ["#/Size: HUGE is not a valid enum value; one of SMALL, LARGE"]


def test_a_read_only_property_cannot_be_set() -> None:
    assert load()["AWS::FSx::FileSystem"].problems({**FILE_SYSTEM, "DNSName": "mine"}) == [
        "#: extraneous key [DNSName] is not permitted"
    ]


def test_a_nested_create_only_property_replaces() -> None:
    cluster = load()["AWS::SageMaker::Cluster"]
    old = {"Orchestrator": {"Eks": {"ClusterArn": "a"}}, "NodeRecovery": "None"}
    assert not cluster.replaces(old, {**old, "NodeRecovery": "Automatic"})
    assert cluster.replaces(old, {**old, "Orchestrator": {"Eks": {"ClusterArn": "b"}}})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AWS::EC2::NatGateway", ("Tags", "list")),
        ("AWS::PCS::Cluster", ("Tags", "map")),
        ("AWS::EC2::PlacementGroup", None),  # its tags cannot be updated
        ("AWS::EC2::SecurityGroupIngress", None),
    ],
)
def test_where_stack_tags_go(name: str, expected: tuple[str, str] | None) -> None:
    assert load()[name].tag_property == expected
