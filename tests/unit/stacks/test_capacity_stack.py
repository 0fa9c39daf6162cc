"""A stack per capacity source: what it holds, and what it says of itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import App
from aws_cdk.assertions import Template

from paceline.spec.capacity import CapacityRecord
from paceline.spec.names import TAG_CAPACITY, TAG_TEAM
from stacks.settings import Parameters, Team
from stacks.team_stage import TeamStage

COMMON = {"instance_type": "p5en.48xlarge", "zone": "use1-az1", "nodes": 4, "spares": 1}
PLAN = "arn:aws:sagemaker:us-east-1:123456789012:training-plan/spring"
SOURCES: dict[str, dict[str, Any]] = {
    "pool": {"serves": "slurm", "purchase": {"kind": "odcr"}},
    "block": {
        "serves": "slurm",
        "purchase": {
            "kind": "capacity-block",
            "reservation": "cr-0123456789abcdef0",
            "instances": 4,
            "starts": "2030-01-07T11:30:00Z",
            "ends": "2030-01-21T11:30:00Z",
        },
    },
    "plan": {
        "serves": "hyperpod",
        "purchase": {"kind": "training-plan", "arn": PLAN, "instances": 4, "ends": "2030-01-21T11:30:00Z"},
    },
}


@pytest.fixture(scope="module")
def team(sandbox: TeamStage, cdk_flags: dict[str, Any]) -> TeamStage:
    """The sandbox team with three sources, and without the clusters that they serve."""
    data = sandbox.foundation.team.parameters.model_dump(mode="json")
    data["capacity"] = {name: COMMON | source for name, source in SOURCES.items()}
    app = App(context=cdk_flags, builtin_cloud_formation_validation=False)
    return TeamStage(app, team=Team(name="vision", parameters=Parameters.model_validate(data)))


def resources(team: TeamStage, source: str, kind: str) -> list[dict[str, Any]]:
    return list(Template.from_stack(team.capacity[source]).find_resources(kind).values())


def record(team: TeamStage, source: str) -> CapacityRecord:
    """What the source publishes; references are the names of what they refer to."""
    [parameter] = resources(team, source, "AWS::SSM::Parameter")
    assert parameter["Properties"]["Name"] == f"/paceline/vision/capacity/{source}"
    value = parameter["Properties"]["Value"]
    if isinstance(value, dict):
        parts = value["Fn::Join"][1]
        value = "".join(part if isinstance(part, str) else json.dumps(part).replace('"', "'") for part in parts)
    return CapacityRecord.model_validate_json(value)


def test_every_source_has_a_stack_of_its_own(team: TeamStage) -> None:
    assert [stack.stack_name for stack in team.capacity.values()] == [f"vision-Capacity-{name}" for name in SOURCES]


def test_what_is_launched_carries_the_team_and_the_source(team: TeamStage) -> None:
    [template] = resources(team, "block", "AWS::EC2::LaunchTemplate")
    for specification in template["Properties"]["LaunchTemplateData"]["TagSpecifications"]:
        tags = {tag["Key"]: tag["Value"] for tag in specification["Tags"]}
        assert tags == {TAG_TEAM: "vision", TAG_CAPACITY: "block"}


def test_a_reservation_of_our_own_is_published_by_its_id(team: TeamStage) -> None:
    said = record(team, "pool")
    assert said.purchase == "odcr"
    assert said.reservation is not None
    assert "Fn::GetAtt" in said.reservation
    assert said.launch_template is not None
    assert (said.nodes, said.spares, said.ends) == (4, 1, None)


def test_a_block_is_published_with_its_times(team: TeamStage) -> None:
    said = record(team, "block")
    assert said.reservation == "cr-0123456789abcdef0"
    assert said.starts is not None
    assert said.ends is not None
    assert (said.ends - said.starts).days == 14


def test_hyperpod_launches_by_itself(team: TeamStage) -> None:
    assert resources(team, "plan", "AWS::EC2::LaunchTemplate") == []
    said = record(team, "plan")
    assert (said.reservation, said.launch_template) == (PLAN, None)


@pytest.mark.parametrize(("source", "rules"), [("pool", 0), ("block", 4), ("plan", 3)])
def test_the_critical_alarms_hear_of_the_end(team: TeamStage, source: str, rules: int) -> None:
    found = resources(team, source, "AWS::Events::Rule")
    assert len(found) == rules
    topics = {json.dumps(target["Arn"]) for rule in found for target in rule["Properties"]["Targets"]}
    assert all("Critical" in topic or "critical" in topic for topic in topics)


def test_a_change_of_tags_cannot_replace_a_placement_group(team: TeamStage) -> None:
    [group] = resources(team, "pool", "AWS::EC2::PlacementGroup")
    assert group["Properties"] == {"Strategy": "cluster"}
