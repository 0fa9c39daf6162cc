"""`paceline plan`: for people, for programs, and calibrated by a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from paceline.cli.main import app
from paceline.recipe.load import load
from paceline.spec.job import JobSpec


def paceline(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["plan", *arguments])


def test_it_prints_figures_layouts_and_what_is_not_known() -> None:
    result = paceline("llama3-8b-pretrain", "--on", "p5.48xlarge", "--nodes", "2")

    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split() == ["2", "X", "P5.48XLARGE"]
    assert "layouts of 2 x p5.48xlarge that fit, fastest first" in result.stdout
    assert "cost is not known: no price is given" in result.stderr


def test_accelerators_side_by_side_for_programs() -> None:
    others = ["--compare", "trn1.32xlarge:4", "--compare", "p5.4xlarge"]
    result = paceline("llama3-8b-pretrain", "--on", "p5.48xlarge", "--nodes", "2", *others, "-o", "json")
    found = json.loads(result.stdout)

    assert {"layouts", "memory_gib_per_rank", "step_seconds", "tokens_per_day", "expected_goodput", "spares"} <= set(
        found
    )
    assert [(each["instance"], each["nodes"]) for each in found["compared"]] == [("trn1.32xlarge", 4)]
    assert "no layout of 2 x p5.4xlarge fits" in found["refused"]["p5.4xlarge"][0]


def test_what_fits_nowhere_is_an_error() -> None:
    result = paceline("llama3-405b-pretrain", "--on", "p5.48xlarge", "--nodes", "1")

    assert result.exit_code == 1
    assert "no layout of 1 x p5.48xlarge fits" in result.stderr


@pytest.mark.parametrize("wrong", [["--rates", "lama3"], ["--recovery", "one-minut"]])
def test_an_unknown_row_names_the_nearest(wrong: list[str]) -> None:
    result = paceline("debug-llama", "--on", "p5.48xlarge", *wrong)

    assert result.exit_code == 1
    assert "did you mean" in result.stderr


def test_a_comparison_that_is_no_instance_is_a_mistake_of_usage() -> None:
    assert paceline("debug-llama", "--on", "cpu", "--nodes", "1", "--compare", "p5.48xlarge:x").exit_code == 2


def run_of(directory: Path, seconds: list[float]) -> Path:
    """What a run of debug-llama on one CPU node leaves."""
    job = JobSpec(
        run="first",
        recipe=load("debug-llama", ["accelerator=cpu"]).recipe.model_dump(mode="json"),
        recipe_sha256="0" * 64,
        nodes=1,
        dataset="file:///data",
        data_order="0" * 64,
        vocabulary=2048,
        checkpoints="file:///checkpoints",
        journal=str(directory / "journal"),
        coordinator_port=1,
    )
    (directory / "journal").mkdir(parents=True)
    (directory / "job.json").write_text(job.model_dump_json())
    lines = [
        {"kind": "step.finished", "schema_version": 1, "time": "2026-11-21T12:00:00Z", "monotonic_ns": step,
         "run": "first", "producer": "node-0.rank-0", "generation": 0, "node": "node-0", "rank": 0, "step": step,
         "loss": 1.0, "tokens": 2048, "learning_rate": 0.0, "gradient_norm": 1.0, "seconds": each, "data_seconds": 0.0,
         "checkpoint_seconds": 0.0}
        for step, each in enumerate(seconds, start=1)
    ]  # fmt: skip
    (directory / "journal" / "node-0.rank-0.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return directory


def test_a_run_calibrates_the_plan_of_others(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [9.0, 2.0, 2.0, 2.5, 1.5])
    asked = ["--on", "cpu", "--nodes", "1", "--calibrate", str(run), "-o", "json"]
    same, twice = (
        json.loads(paceline("debug-llama", *asked, *more).stdout) for more in ([], ["--set", "batch.tokens=4096"])
    )

    assert same["step_seconds"] == pytest.approx(2.0)
    assert twice["step_seconds"] == pytest.approx(4.0)
    assert same["assumption"]["source"] == "median of 5 steps of run first"
    assert same["mfu"] is None, "nobody knows the peak of a CPU"


def test_a_directory_without_a_run_calibrates_nothing(tmp_path: Path) -> None:
    result = paceline("debug-llama", "--on", "cpu", "--nodes", "1", "--calibrate", str(tmp_path))

    assert result.exit_code == 1
    assert "no job.json that can be read" in result.stderr


def test_a_run_without_a_step_calibrates_nothing(tmp_path: Path) -> None:
    result = paceline("debug-llama", "--on", "cpu", "--calibrate", str(run_of(tmp_path / "run", [])))

    assert result.exit_code == 1
