from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paceline.cli.main import app


def test_the_command_prints_what_was_asked() -> None:
    shown = CliRunner().invoke(app, ["simulate", "--accelerators", "512", "--days", "3", "-o", "json"])
    answer = json.loads(shown.stdout)
    assert {"goodput", "ledger", "interruptions", "wall_seconds"} <= set(answer)
    assert sum(answer["ledger"].values()) == pytest.approx(3 * 86400)


def test_a_sweep_is_printed_and_drawn(tmp_path: Path) -> None:
    page = tmp_path / "sweep.html"
    options = ["--sweep", "cadence=10,60,spares=0,2", "--plot", str(page), "--price", "50", "-o", "json"]
    shown = CliRunner().invoke(app, ["simulate", "--accelerators", "256", "--days", "2", *options])
    answer = json.loads(shown.stdout)
    found = [(point["axis"], point["value"]) for point in answer["sweep"]]
    assert found == [("cadence", 10), ("cadence", 60), ("spares", 0), ("spares", 2)]
    assert answer["costs"]["whole"] > answer["costs"]["productive"] > 0
    assert page.read_text().count("<svg") == 2


def test_a_run_calibrates_it(run_of, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    journal = tmp_path / "run" / "journal"
    journal.mkdir(parents=True)
    lines = [event.model_dump_json() for event in run_of().read()]
    (journal / "all.jsonl").write_text("\n".join(lines) + "\n")
    options = ["--calibrate", str(tmp_path / "run"), "-o", "json"]
    shown = CliRunner().invoke(app, ["simulate", "--accelerators", "64", "--days", "1", *options])
    recovery = json.loads(shown.stdout)["scenario"]["recovery"]
    assert recovery["explicit"]["detect"] == pytest.approx([0.2])
    assert "explicit: 1 recoveries measured" in shown.stderr
    assert "hang: not measured" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--accelerators", "9"), "say 8 or 16"),
        (("--accelerators", "8", "--rates", "lama3"), "did you mean `llama3`?"),
        (("--accelerators", "8", "--recovery", "one-minut"), "did you mean `one-minute`?"),
        (("--accelerators", "8", "--plot", "x.html"), "say what to change with --sweep"),
        (("--accelerators", "8", "--infant", "0", "3"), "say --infant 3 30"),
        (("--accelerators", "8", "--calibrate", "nowhere"), "no journal"),
    ],
)
def test_mistakes_are_told_with_their_cure(arguments: tuple[str, ...], said: str) -> None:
    shown = CliRunner().invoke(app, ["simulate", "--days", "1", *arguments])
    assert shown.exit_code == 1
    assert said in shown.stderr
