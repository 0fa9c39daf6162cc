"""What holds state keeps its logical id: under another one CloudFormation makes a new and empty resource.

`stateful_ids.yaml` holds the types that count, with what is lost, and the ids of every shipped team.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.shipped_teams import TEAMS, Synthesize

FILE = Path(__file__).parent / "stateful_ids.yaml"
PINS: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
LOST: dict[str, str] = PINS["types"]


def stateful(template: dict[str, Any]) -> dict[str, str]:
    """Logical id to type."""
    return {name: body["Type"] for name, body in template["Resources"].items() if body["Type"] in LOST}


def differences(stack: str, pinned: dict[str, str], found: dict[str, str]) -> list[str]:
    accept = f"if that is meant, and the deployed teams have a way there, write it into {FILE.name}"
    gone = [
        f"{stack}: {name} ({kind}) is gone: a deployed team would get a new one under another id, or none, and lose"
        f" {LOST[kind]}. Give it its id back (override_logical_id, or the old place in the tree); {accept}"
        for name, kind in pinned.items()
        if found.get(name) != kind
    ]
    new = [
        f"{stack}: {name} ({kind}) is not pinned: {accept}" for name, kind in found.items() if pinned.get(name) != kind
    ]
    return gone + new


@pytest.mark.parametrize("team", TEAMS)
def test_stateful_resources_keep_their_ids(team: str, templates_of: Synthesize) -> None:
    pinned = PINS["teams"].get(team, {})
    found = {stack: ids for stack, template in templates_of(team).items() if (ids := stateful(template))}
    problems = [
        problem
        for stack in dict.fromkeys([*pinned, *found])
        for problem in differences(f"{team}-{stack}", pinned.get(stack, {}), found.get(stack, {}))
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("team", TEAMS)
def test_what_is_retained_counts_as_stateful(team: str, templates_of: Synthesize) -> None:
    resources = [body for template in templates_of(team).values() for body in template["Resources"].values()]
    kept = {
        body["Type"] for body in resources if "Retain" in (body.get("DeletionPolicy"), body.get("UpdateReplacePolicy"))
    }
    assert kept <= LOST.keys()


def test_a_renamed_bucket_would_be_refused() -> None:
    bucket = "AWS::S3::Bucket"
    gone, new = differences("vision-Storage", {"Data1": bucket}, {"Data2": bucket})
    assert "Data1" in gone and LOST[bucket] in gone and FILE.name in gone
    assert "Data2" in new
