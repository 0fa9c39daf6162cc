"""The templates of every shipped team, a file per stack: `__snapshots__/.../test_reviewed[<team>][<stack>].yaml`.

Update them on purpose, and read what changed: `pytest tests/snapshot --snapshot-update`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from tests.shipped_teams import TEAMS, Synthesize

CONSTRUCTS = Path(__file__).parents[2] / "constructs" / "paceline_constructs"
SCRIPTS = {
    path.relative_to(CONSTRUCTS): path.read_text("utf-8").rstrip()
    for pattern in ("*.sh", "index.py")
    for path in CONSTRUCTS.rglob(pattern)
}


class Readable(yaml.SafeDumper):
    """Without anchors, and with text as lines."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.Node:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


Readable.add_representer(str, Readable.represent_str)


class TemplateFile(SingleFileSnapshotExtension):
    """A template as YAML."""

    file_extension = "yaml"
    _write_mode = WriteMode.TEXT

    def serialize(self, data: Any, **_: Any) -> str:
        return yaml.dump(data, Dumper=Readable, width=120)


def reviewed(template: dict[str, Any]) -> dict[str, Any]:
    """The template without what is reviewed elsewhere: scripts, hashes of assets, and what CDK adds to each."""
    body: dict[str, Any] = _named(json.loads(re.sub(r"[0-9a-f]{64}", "ASSET-HASH", json.dumps(template))))
    for resource in body["Resources"].values():
        resource.pop("Metadata", None)
    del body["Parameters"]["BootstrapVersion"], body["Rules"]["CheckBootstrapVersion"]
    return {section: parts for section, parts in body.items() if parts}


def _named(value: Any) -> Any:
    """`value` with the names of scripts in the place of scripts."""
    if isinstance(value, dict):
        return {key: _named(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_named(part) for part in value]
    if isinstance(value, str):
        for path, script in SCRIPTS.items():
            for margin in ("", " " * 4):
                value = value.replace(indent(script, margin), f"{margin}<{path}>")
    return value


@pytest.mark.parametrize("team", TEAMS)
def test_reviewed(team: str, templates_of: Synthesize, snapshot: SnapshotAssertion) -> None:
    for stack, template in templates_of(team).items():
        assert reviewed(template) == snapshot(name=stack, extension_class=TemplateFile)
