"""The permissions for a deployment cover what is deployed, and no more than IAM takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from stacks.change.templates import Template, synthesize
from stacks.permissions import extract
from stacks.permissions.policies import MAX_POLICY_SIZE, policies
from stacks.settings import Team
from stacks.teams import read_teams

TEAMS = read_teams(Path(__file__).parents[2] / "stacks" / "parameters")
# what no shipped team has: observability.collector is the agent in all of them
OPTIONS = {
    "AWS::APS::Scraper",
    "AWS::ECR::ReplicationConfiguration",
    "AWS::ECR::SigningConfiguration",
    "AWS::Signer::SigningProfile",
}


@pytest.fixture(scope="module")
def templates(cdk_flags: dict[str, Any]) -> Mapping[str, Mapping[str, Template]]:
    return {team.name: synthesize(team, cdk_flags) for team in TEAMS}


def test_the_committed_actions_are_those_of_the_schemas() -> None:
    assert extract.main(["--check"]) == 0


def test_a_stale_table_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "ACTIONS", tmp_path / "actions.json")
    assert extract.main(["--check"]) == 1
    assert extract.main([]) == 0
    assert extract.main(["--check"]) == 0


def test_every_type_that_is_listed_is_deployed_and_has_actions(
    templates: Mapping[str, Mapping[str, Template]],
) -> None:
    deployed = {
        resource["Type"]
        for stacks in templates.values()
        for t in stacks.values()
        for resource in t["Resources"].values()
    }
    deployed = {"AWS::CloudFormation::CustomResource" if t.startswith("Custom::") else t for t in deployed}
    listed = set(yaml.safe_load(extract.TYPES.read_text(encoding="utf-8"))["types"])
    actions = json.loads(extract.ACTIONS.read_text(encoding="utf-8"))["actions"]

    assert listed == deployed | OPTIONS
    assert [name for name in listed if not actions[name]] == []


@pytest.mark.parametrize("team", TEAMS, ids=lambda team: team.name)
def test_a_team_fits_into_policies_that_iam_takes(team: Team, templates: Mapping[str, Mapping[str, Template]]) -> None:
    found = policies(team, templates[team.name])

    assert len(found) <= 10  # managed policies of a role, by default: IAM User Guide, reference_iam-quotas.html
    for policy in found.values():
        assert len("".join(json.dumps(policy).split())) <= MAX_POLICY_SIZE
        assert not [action for s in policy["Statement"] for action in s["Action"] if "*" in action]
        assert all(statement["Sid"].isalnum() for statement in policy["Statement"])
