"""What a team was deployed from, in a stack of its own."""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk.assertions import Template

from stacks.record import recorded
from stacks.settings import Parameters
from stacks.team_stage import TeamStage


def test_it_is_deployed_after_all_others(sandbox: TeamStage) -> None:
    others = {child for child in sandbox.node.children if isinstance(child, Stack)} - {sandbox.record}
    assert others
    assert set(sandbox.record.dependencies) == others


def test_it_holds_the_parameters_without_prices_and_changes_with_them(sandbox: TeamStage) -> None:
    template = Template.from_stack(sandbox.record).to_json()
    found = recorded(template)
    assert found is not None
    assert "prices" not in found
    assert Parameters.model_validate(found) == sandbox.foundation.team.parameters
    (parameter,) = [r["Properties"] for r in template["Resources"].values()]
    assert parameter["Name"] == "/paceline/sandbox/record/parameters-sha256"
    assert len(parameter["Value"]) == 64


def test_another_template_holds_none() -> None:
    assert recorded({"Resources": {}}) is None
