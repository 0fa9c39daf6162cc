"""Every template of every shipped team, as cfn-lint sees it in the team's region."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

import pytest
from cfnlint.config import ConfigMixIn
from cfnlint.decode import decode_str
from cfnlint.runner import Runner

from stacks.teams import read_teams
from tests.shipped_teams import PARAMETERS, TEAMS, Synthesize

# findings that are accepted everywhere, and why. What is true of one construct only is acknowledged there, for CDK's
# own checks (paceline_constructs.guardrails.compliance)
ACCEPTED = {
    "W3005": "CDK orders a resource after a whole construct, and some part of it is referred to as well",
}


@cache
def linter(region: str) -> Runner:
    """One for all templates of a region: it is the rules that take long to load."""
    return Runner(ConfigMixIn(regions=[region], ignore_checks=[*ACCEPTED]))


def findings(region: str, template: dict[str, Any]) -> list[str]:
    decoded, errors = decode_str(json.dumps(template))
    matches = errors or linter(region).validate_template(decoded)
    return [f"{match.rule.id} {'.'.join(map(str, match.path))}: {match.message}" for match in matches]


@pytest.mark.parametrize("team", TEAMS)
def test_templates_are_clean(team: str, templates_of: Synthesize) -> None:
    [region] = [each.parameters.location.region for each in read_teams(PARAMETERS) if each.name == team]
    assert {stack: found for stack, body in templates_of(team).items() if (found := findings(region, body))} == {}


def test_a_mistake_would_be_found(templates_of: Synthesize) -> None:
    template = copy.deepcopy(templates_of("sandbox")["Storage"])
    [lustre] = [body for body in template["Resources"].values() if body["Type"] == "AWS::FSx::FileSystem"]
    lustre["Properties"]["FileSystemTyp"] = lustre["Properties"].pop("FileSystemType")
    assert {finding.split()[0] for finding in findings("us-east-1", template)} == {"E3002", "E3003"}
