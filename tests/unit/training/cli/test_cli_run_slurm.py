from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paceline.cli.main import app
from paceline.data.corpus import Document
from paceline.data.prepare import prepare
from paceline.launch.job import JOB_NAME
from paceline.launch.slurm.script import script
from paceline.spec.job import JobSpec


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    documents = [Document(name=f"document {i}", text=" ".join(f"word{n % 7}" for n in range(200))) for i in range(4)]
    prepare(documents, name="test", source="tests", output=tmp_path / "data", vocabulary=300)
    return str(tmp_path / "data")


def test_a_dry_run_prints_the_script_and_needs_no_slurm(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # there is no sbatch
    place = tmp_path / "run"
    what = ["run", "debug-tiny", "--on", "slurm", "--dry-run", "--nodes", "2", "--spares", "1"]

    result = CliRunner().invoke(app, [*what, "--data", dataset, "--directory", str(place)])

    job = JobSpec.model_validate(json.loads((place / JOB_NAME).read_text(encoding="utf-8")))
    assert (result.exit_code, result.stdout) == (0, script(job, place))
    assert "#SBATCH --nodes=3\n" in result.stdout


def test_a_local_run_has_no_script() -> None:
    result = CliRunner().invoke(app, ["run", "debug-tiny", "--dry-run"])
    assert result.exit_code == 1 and "hint: give --on slurm" in result.stderr


def test_what_spares_are_lent_to_is_read_as_a_shell_would(dataset: str, tmp_path: Path) -> None:
    place = tmp_path / "run"
    what = ["run", "debug-tiny", "--on", "slurm", "--dry-run", "--data", dataset, "--directory", str(place)]

    result = CliRunner().invoke(app, [*what, "--spares", "1", "--lend", "only-there 'two words' $HOME"])

    assert result.exit_code == 0
    job = JobSpec.model_validate(json.loads((place / JOB_NAME).read_text(encoding="utf-8")))
    assert job.lend == ("only-there", "two words", "$HOME")


@pytest.mark.parametrize(
    ("lend", "message"),
    [
        ("echo 'open", "No closing quotation"),
        (" ", "there is no command in it"),
        ("no-such-command", "there is no such command on this machine"),
    ],
)
def test_what_spares_cannot_be_lent_to_is_told(lend: str, message: str) -> None:
    result = CliRunner().invoke(app, ["run", "debug-tiny", "--spares", "1", "--lend", lend])
    assert result.exit_code == 1 and message in result.stderr and "hint: " in result.stderr
