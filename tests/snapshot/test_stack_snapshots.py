"""The templates of the sandbox team, whole. Update on purpose: `pytest tests/snapshot --snapshot-update`."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from aws_cdk.assertions import Template
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from stacks.team_stage import TeamStage


def normalised(template: Template) -> Any:
    """The template with the content hashes of assets replaced."""
    return json.loads(re.sub(r"[0-9a-f]{64}", "ASSET-HASH", json.dumps(template.to_json())))


@pytest.mark.parametrize("stack", ["foundation", "storage", "registry"])
def test_template_is_what_was_reviewed(sandbox: TeamStage, stack: str, snapshot: SnapshotAssertion) -> None:
    template = Template.from_stack(getattr(sandbox, stack))
    assert normalised(template) == snapshot(extension_class=JSONSnapshotExtension)
