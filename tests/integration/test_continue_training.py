"""A model that exists goes on: import, evaluate, train, and the loss on text that it has not seen falls.

A tiny model is trained first for a few steps, exported and imported again. The real one of
docs/guides/continue-smollm2.md comes from the fixture `smollm2`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

PACELINE = [sys.executable, "-c", "from paceline.cli.main import main; main()"]
TEXT = "Line {n}: a paceline is a row of riders who share the wind; when number {m} drops out, the line closes up. "


def paceline(directory: Path, *arguments: str) -> Any:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [*PACELINE, *arguments, "-o", "json"]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout if arguments[0] != "run" else done.stdout.splitlines()[-1])


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "text"
    folder.mkdir()
    for n in range(40):
        body = "".join(TEXT.format(n=n, m=(n * k) % 7) for k in range(12))
        (folder / f"{n:02d}.md").write_text(f"# Ride {n}\n\n{body}\n", encoding="utf-8")
    return folder


def evaluations(result: Any) -> list[float]:
    return [found["bits_per_byte"] for found in result["evaluations"]]


@pytest.mark.timeout(600)
def test_held_out_loss_falls_from_where_the_model_was(corpus: Path, tmp_path: Path) -> None:
    small = ["--set", "evaluation.every=4", "--set", "evaluation.sequences=4", "--set", "data.document_mask=true"]
    steps = ["--set", "train.steps=4", "--set", "schedule.warmup_steps=0"]
    paceline(tmp_path, "data", "prepare", "first", str(corpus), "--held-out", "0.1", "--vocabulary", "300")
    begun = paceline(tmp_path, "run", "debug-tiny", "--local", "--data", "first", "--directory", "a", *steps, *small)
    paceline(tmp_path, "checkpoint", "export", "a/checkpoints", "exported")
    paceline(tmp_path, "checkpoint", "import", "exported", "model")
    best = ["--set", "model.weights=model", "--set", "evaluation.every=2", "--set", "checkpoint.keep_best=1"]
    went_on = paceline(tmp_path, "run", "debug-tiny", "--data", "first", "--directory", "b", *steps, *small, *best)
    before, after = evaluations(begun), evaluations(went_on)
    assert after[0] == pytest.approx(before[-1], rel=1e-5)  # the model is the one that was saved
    assert after[-1] < after[0] < before[0]
    saved = {m["step"]: m["trainer"]["held_out_loss"] for m in paceline(tmp_path, "checkpoint", "ls", "b/checkpoints")}
    assert saved == {found["step"]: found["loss"] for found in went_on["evaluations"] if found["step"]}
    assert went_on["ledger"] and went_on["tokens_per_second"] > 0 and went_on["mfu"] is None
    assert paceline(tmp_path, "data", "verify", "b")["different_step"] is None


@pytest.mark.timeout(3000)
def test_smollm2_reads_the_documentation_of_python(smollm2: Path, tmp_path: Path) -> None:
    paceline(
        tmp_path,
        *("data", "prepare", "text", "--tokenizer", str(smollm2), "--held-out", "0.02", "--minimum-characters", "2000"),
    )
    recipe = {
        "description": "SmolLM2 goes on",
        "model": {"preset": "smollm2-135m", "weights": str(smollm2)},
        "data": {"sequence_length": 256, "document_mask": True},
        "batch": {"tokens": 512, "micro_sequences": 2},
        "optimizer": {"learning_rate": 3e-5, "weight_decay": 0.0},
        "schedule": {"kind": "constant", "steps": 3},
        "evaluation": {"every": 3, "sequences": 8},
    }
    (tmp_path / "smollm2.yaml").write_text(json.dumps(recipe), encoding="utf-8")  # JSON is YAML
    first, last = evaluations(paceline(tmp_path, "run", "./smollm2.yaml", "--data", "text"))
    assert first < 1.4  # a model that has learned English; an untrained one has more than 3
    assert last < first
