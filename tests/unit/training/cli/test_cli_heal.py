"""`paceline heal`: what it prints, and its exit codes."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from paceline.cli.main import app
from paceline.heal.fleets.local import LocalFleet
from paceline.journal.writer import Journal
from paceline.spec.events import ActionDecided, ActionStarted
from paceline.spec.healing import Case, Phase
from paceline.spec.health import Action

NOW = datetime(2026, 11, 21, tzinfo=UTC)
FINDING = {"node": "n1", "check": "xid", "result": "fail", "time": "2026-11-21T00:00:00Z", "fault": "nvidia.xid.79"}


def heal(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["heal", *arguments])


def written(directory: Path, content: Any) -> str:
    path = directory / "fault.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_explain_says_what_would_be_done_and_who_says_so(tmp_path: Path) -> None:
    shown = heal("explain", written(tmp_path, FINDING))
    assert shown.exit_code == 0
    for expected in ("reboot", "its maker calls for reboot", "single -> pair", "Xid-Catalog.xlsx"):
        assert expected in shown.stdout


def test_explain_takes_the_past_into_account(tmp_path: Path) -> None:
    past = {"node": "n1", "board": None, "fault": "nvidia.xid.79", "action": 4}
    history = [past | {"id": str(hours), "time": (NOW - timedelta(hours=hours)).isoformat()} for hours in (10, 20)]
    shown = heal("explain", written(tmp_path, {"finding": FINDING, "history": history}), "-o", "json")
    answer = json.loads(shown.stdout)
    assert (answer["verdict"], answer["fault"]["code"]) == ("act", "nvidia.xid.79")
    assert answer["action"] != "reboot"
    assert "reboot was tried 2 times" in answer["reason"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ("[]", "Input should be"),
        (FINDING | {"result": "broken"}, "finding.result"),
        (FINDING | {"nodes": 3}, "finding.nodes"),
    ],
)
def test_a_wrong_file_is_told_with_what_is_wrong(tmp_path: Path, content: Any, said: str) -> None:
    path = written(tmp_path, content)
    shown = heal("explain", path)
    assert shown.exit_code == 1
    assert said in shown.stderr
    assert "fault.json" in shown.stderr


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    shown = heal("explain", str(tmp_path / "none.json"))
    assert shown.exit_code == 1
    assert "No such file" in shown.stderr


@pytest.fixture
def root(tmp_path: Path) -> Any:
    fleet = LocalFleet(tmp_path)
    for name in ("n0", "n1"):
        fleet.start(name, (sys.executable, "-c", "import time; time.sleep(60)"))
    fleet.write(
        "n1",
        Case(id="c", node="n1", action=Action.ISOLATE, reason="a lemon", opened=NOW, phase=Phase.ISOLATED, since=NOW),
    )
    yield tmp_path
    fleet.stop()


def test_status_lists_what_is_out(root: Path) -> None:
    shown = heal("status", "--root", str(root))
    assert "a lemon" in shown.stdout
    assert "1 of 2 nodes are out" in shown.stderr
    assert json.loads(heal("status", "--root", str(root), "-o", "json").stdout)["cases"][0]["phase"] == "isolated"


def test_readmit_is_for_isolated_nodes(root: Path) -> None:
    refused = heal("readmit", "n0", "--root", str(root))
    assert refused.exit_code == 3
    assert "n0: not an isolated node" in refused.stderr
    assert heal("readmit", "n1", "--root", str(root)).exit_code == 0
    assert json.loads((root / "n1" / "case.json").read_text())["phase"] == "testing"


@pytest.fixture
def journal(tmp_path: Path) -> str:
    events = Journal(tmp_path, run="fleet", producer="controller")
    for node in ("n1", "n2"):
        events.emit(ActionDecided, node=node, action="none", target=node, reason=f"evidence of {node}")
        events.emit(ActionStarted, node=node, action="reboot", target=node)
    events.close()
    return str(tmp_path)


def test_history_tells_what_happened_to_a_node(journal: str) -> None:
    shown = heal("history", "n1", "--journal", journal)
    assert [line.split(maxsplit=3)[2:] for line in shown.stdout.splitlines()[1:]] == [
        ["n1", "Evidence of n1."],
        ["n1", "Began to reboot."],
    ]
    events = json.loads(heal("history", "--journal", journal, "-o", "json").stdout)
    assert [event["node"] for event in events] == ["n1", "n1", "n2", "n2"]


def test_history_of_a_node_that_nobody_told_of(journal: str) -> None:
    refused = heal("history", "n3", "--journal", journal)
    assert refused.exit_code == 1
    assert "nothing is told of n3" in refused.stderr
    assert "there is: n1, n2" in refused.stderr


def test_a_fleet_that_cannot_be_reached_is_the_clusters_no() -> None:
    shown = heal("status", "--fleet", "kubernetes", "--provider", "none", "--api", "http://127.0.0.1:9", "--team", "a")
    assert shown.exit_code == 3
    assert "http://127.0.0.1:9" in shown.stderr
