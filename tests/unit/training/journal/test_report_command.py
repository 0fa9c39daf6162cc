from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from paceline.cli.report import report
from paceline.spec.errors import JournalError, PacelineError

app = typer.Typer()
app.command()(report)


@pytest.fixture
def run(tmp_path, run_of):
    journal = tmp_path / "journal"
    journal.mkdir()
    for event in run_of().read():
        with (journal / f"{event.producer}.jsonl").open("a") as file:
            file.write(event.model_dump_json(exclude_none=True) + "\n")
    return tmp_path


def test_figures_go_to_stdout_and_the_page_to_the_run(run):
    result = CliRunner().invoke(app, [str(run)])
    assert result.exit_code == 0
    assert "debug-llama, run demo" in result.stdout
    assert f"report: {run / 'report.html'}" in result.stderr
    assert (run / "report.html").read_text().startswith("<!doctype html>")


def test_json_is_nothing_but_json(run, tmp_path):
    page = tmp_path / "elsewhere" / "page.html"
    result = CliRunner().invoke(app, [str(run), "-o", "json", "--page", str(page)])
    assert json.loads(result.stdout)["lost_steps"] == 1
    assert page.exists()
    assert not (run / "report.html").exists()


def test_a_torn_journal_is_told_and_read(run):
    with (run / "journal" / "coordinator.jsonl").open("a") as file:
        file.write('{"kind"')
    result = CliRunner().invoke(app, [str(run)])
    assert result.exit_code == 0
    assert "warning: coordinator.jsonl: the last line is unfinished" in result.stderr


def test_a_directory_without_a_journal_is_refused(tmp_path):
    result = CliRunner().invoke(app, [str(tmp_path / "typo")])
    assert isinstance(result.exception, JournalError)
    assert not (tmp_path / "typo").exists()


def test_a_place_that_cannot_be_written_is_a_message(run):
    (run / "file").write_text("")
    result = CliRunner().invoke(app, [str(run), "--page", str(run / "file" / "report.html")])
    assert isinstance(result.exception, PacelineError)
    assert "cannot be written" in result.exception.render()
