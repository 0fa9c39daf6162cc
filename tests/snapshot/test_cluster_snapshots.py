"""The templates of Slurm and HyperPod clusters, whole. Update on purpose: `pytest tests/snapshot --snapshot-update`."""

from __future__ import annotations

import json
import re

import pytest
from aws_cdk.assertions import Template
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension


@pytest.mark.parametrize("kind", ["slurm", "hyperpod"])
def test_cluster_is_what_was_reviewed(request: pytest.FixtureRequest, kind: str, snapshot: SnapshotAssertion) -> None:
    stack = getattr(request.getfixturevalue(f"{kind}_team"), kind)
    text = json.dumps(Template.from_stack(stack).to_json())
    assert json.loads(re.sub(r"[0-9a-f]{64}", "ASSET-HASH", text)) == snapshot(extension_class=JSONSnapshotExtension)
