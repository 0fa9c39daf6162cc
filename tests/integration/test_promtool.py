"""The alert rules as Prometheus' own tool reads them, and what they say of given series (fixtures/alerts.yaml)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from paceline_constructs.observability.prometheus import RULES, read_rules
from tools.images.build import ROOT
from tools.images.debian import UnavailableError, archive, unpack

pytestmark = pytest.mark.integration

CASES = Path(__file__).parent / "fixtures" / "alerts.yaml"


@pytest.fixture(scope="module")
def promtool() -> Path:
    try:
        _, release = archive()
        return unpack(release, ["prometheus"], ROOT / ".engine" / "prometheus") / "usr/bin/promtool"
    except UnavailableError as reason:
        pytest.skip(f"no Prometheus: {reason}")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A directory with a file for each name in RULES."""
    for name in RULES:
        (tmp_path / f"{name}.yaml").write_text(read_rules(name), encoding="utf-8")
    return tmp_path


def test_prometheus_reads_every_rule(promtool: Path, rules: Path) -> None:
    done = subprocess.run(
        [promtool, "check", "rules", *sorted(rules.iterdir())], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("SUCCESS") == len(RULES)


def test_alerts_fire_when_they_should_and_not_before(promtool: Path, rules: Path) -> None:
    shutil.copy(CASES, rules / "cases.yaml")
    done = subprocess.run(
        [promtool, "test", "rules", "cases.yaml"], cwd=rules, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
