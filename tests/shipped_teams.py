"""The templates of the teams in stacks/parameters, each team synthesized once by the process that asks for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PARAMETERS = ROOT / "stacks" / "parameters"
TEAMS = sorted(path.stem for path in PARAMETERS.glob("*.yaml") if path.stem != "platform")

Templates = dict[str, Any]
Synthesize = Callable[[str], Templates]


def copy_app(directory: Path) -> None:
    """The files that app.py reads."""
    shutil.copytree(ROOT / "stacks", directory / "stacks", ignore=shutil.ignore_patterns("__pycache__"))
    (directory / "images").mkdir()
    for name in ("app.py", "cdk.json", "images/versions.toml"):
        shutil.copy(ROOT / name, directory / name)


@pytest.fixture(scope="session")
def templates_of(cdk_flags: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Synthesize:
    """What a team is synthesized to: its templates by the stack's name without the team's, as `Capacity-pool`."""
    from aws_cdk import App, Stack

    from stacks.team_stage import TeamStage
    from stacks.teams import read_teams

    teams = {team.name: team for team in read_teams(PARAMETERS)}

    @cache
    def synthesize(name: str) -> Templates:
        out = tmp_path_factory.mktemp(name)
        app = App(context=cdk_flags, builtin_cloud_formation_validation=False, outdir=str(out))
        stage = TeamStage(app, team=teams[name])
        app.synth()
        stacks = [child for child in stage.node.children if isinstance(child, Stack)]
        found = {stack.node.id: next(out.glob(f"*/{stack.template_file}")) for stack in stacks}
        return {stack: json.loads(path.read_text(encoding="utf-8")) for stack, path in found.items()}

    return synthesize
