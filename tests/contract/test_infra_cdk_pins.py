"""What the deployment is driven with is pinned."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_cdk_cli_is_an_exact_version_of_the_2_line() -> None:
    """npm's `latest` is a 3.0.0 that cannot read what the library writes."""
    pins = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    assert re.fullmatch(r"2\.\d+\.\d+", pins["aws-cdk"])
    lock = json.loads((ROOT / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/aws-cdk"]["version"] == pins["aws-cdk"]


def test_the_lock_file_names_no_host() -> None:
    """`resolved` would send everybody to the registry of whoever wrote the file."""
    assert "resolved" not in (ROOT / "package-lock.json").read_text()


def test_references_between_stacks_are_weak() -> None:
    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    assert flags["@aws-cdk/core:defaultCrossStackReferences"] == "weak"
