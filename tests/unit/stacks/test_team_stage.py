"""What a team's lifecycle, boundary and neighbours do to its stacks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Match, Template

from stacks.settings import Parameters, Team
from stacks.team_stage import TeamStage

# far below the 500 that CloudFormation allows: a stack must have room to grow
BUDGET = 150

STATEFUL = {"AWS::S3::Bucket", "AWS::FSx::FileSystem", "AWS::ECR::Repository", "AWS::KMS::Key", "AWS::Logs::LogGroup"}


Changed = Callable[..., TeamStage]


@pytest.fixture
def changed(sandbox: TeamStage, cdk_flags: dict[str, Any]) -> Changed:
    """Makes the sandbox team with other parameters."""

    def make(**changes: Any) -> TeamStage:
        data = sandbox.foundation.team.parameters.model_dump(mode="json") | changes
        app = App(context=cdk_flags, builtin_cloud_formation_validation=False)
        return TeamStage(app, team=Team(name="other", parameters=Parameters.model_validate(data)))

    return make


def stacks(team: TeamStage) -> list[Stack]:
    return [team.foundation, team.storage, team.registry]


def stateful(team: TeamStage) -> list[dict[str, Any]]:
    resources = [r for s in stacks(team) for r in Template.from_stack(s).to_json()["Resources"].values()]
    return [resource for resource in resources if resource["Type"] in STATEFUL]


def test_stacks_are_named_after_the_team(sandbox: TeamStage) -> None:
    assert [s.stack_name for s in stacks(sandbox)] == ["sandbox-Foundation", "sandbox-Storage", "sandbox-Registry"]
    assert [s.node.path for s in stacks(sandbox)] == ["sandbox/Foundation", "sandbox/Storage", "sandbox/Registry"]


def test_every_stack_is_within_its_budget(sandbox: TeamStage) -> None:
    for stack in stacks(sandbox):
        assert len(Template.from_stack(stack).to_json()["Resources"]) <= BUDGET


def test_a_disposable_team_leaves_nothing_behind(sandbox: TeamStage) -> None:
    assert not any(stack.termination_protection for stack in stacks(sandbox))
    assert {resource["DeletionPolicy"] for resource in stateful(sandbox)} == {"Delete"}


def test_a_retained_team_cannot_be_deleted_and_its_data_outlives_it(changed: Changed) -> None:
    retained = changed(lifecycle="retained")
    assert all(stack.termination_protection for stack in stacks(retained))
    assert {resource["DeletionPolicy"] for resource in stateful(retained)} == {"Retain"}


def test_the_permission_boundary_bounds_every_role(changed: Changed) -> None:
    template = Template.from_stack(changed(permission_boundary="training-boundary").foundation)
    template.all_resources_properties(
        "AWS::IAM::Role", {"PermissionsBoundary": Match.string_like_regexp(":policy/training-boundary$")}
    )


def test_with_efa_the_file_servers_join_the_group_of_the_nodes(sandbox: TeamStage, changed: Changed) -> None:
    storage = sandbox.foundation.team.parameters.storage.model_dump(mode="json")
    storage["file_system"] |= {"efa": True, "mbps_per_tib": 1000, "size_gib": 4800}
    template = Template.from_stack(changed(storage=storage).storage)
    [file_system] = template.find_resources("AWS::FSx::FileSystem").values()
    assert len(file_system["Properties"]["SecurityGroupIds"]) == 2
    assert file_system["Properties"]["LustreConfiguration"]["EfaEnabled"] is True
    assert file_system["Properties"]["LustreConfiguration"]["MetadataConfiguration"] == {"Mode": "AUTOMATIC"}


def test_stacks_refer_to_each_other_weakly(sandbox: TeamStage) -> None:
    for stack in stacks(sandbox):
        template = json.dumps(Template.from_stack(stack).to_json())
        assert "Fn::ImportValue" not in template
        assert '"Export"' not in template


@pytest.mark.parametrize("place", ["Fn::Sub", "Fn::Base64"])
def test_a_weak_reference_stands_only_where_cloudformation_allows_it(sandbox: TeamStage, place: str) -> None:
    def inside(node: Any) -> bool:
        if isinstance(node, dict):
            return any(
                (key == place and "Fn::GetStackOutput" in json.dumps(value)) or inside(value)
                for key, value in node.items()
            )
        return isinstance(node, list) and any(map(inside, node))

    assert not any(inside(Template.from_stack(stack).to_json()) for stack in stacks(sandbox))
