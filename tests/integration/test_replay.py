"""A step of a real run, computed again: the same bits, or exit code 3 and the first figure that differs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from paceline.data.corpus import Document
from paceline.data.prepare import prepare

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PACELINE = [sys.executable, "-c", "from paceline.cli.main import main; main()"]
STEPS, SAVED = 6, 4


def paceline(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [*PACELINE, *arguments, "-o", "json"]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run of two ranks, with a checkpoint after step 4 of 6."""
    directory = tmp_path_factory.mktemp("replay")
    texts = (" ".join(f"word{n % 7}" for n in range(start, start + 400)) for start in range(12))
    documents = [Document(name=f"document {i}", text=text) for i, text in enumerate(texts)]
    prepare(documents, name="test", source="tests", output=directory / "data", vocabulary=300)
    settings = ["--set", f"train.steps={STEPS}", "--set", f"checkpoint.persist_every={SAVED}"]
    trained = paceline(directory, "run", "debug-tiny", "--data", "data", "--nodes", "2", *settings)
    assert trained.returncode == 0, trained.stderr
    return directory / "runs" / "debug-tiny"


def replay(run: Path, step: int, *options: str) -> tuple[int, Any, str]:
    done = paceline(run.parent.parent, "replay", f"runs/debug-tiny@{step}", *options)
    return done.returncode, json.loads(done.stdout or "null"), done.stderr


def test_a_step_gives_the_same_bits_again_and_another_bit_is_found(run: Path) -> None:
    code, said, _ = replay(run, STEPS)
    changed = [line for line in said["changed"] if not line.startswith("commit:")]  # somebody may work on it
    assert (code, said["difference"], changed) == (0, None, [])
    assert (said["from_checkpoint"], said["ranks"], said["steps"]) == (SAVED, 2, STEPS - SAVED)
    # loss, gradient norm, learning rate, batch, ledger, and the state of both ranks
    assert said["figures"] == 7 * said["steps"]
    journal = next(path for path in (run / "journal").glob("*.jsonl") if '"snapshot.taken"' in path.read_text())
    lines = journal.read_text().splitlines()
    for number, line in enumerate(lines):
        event = json.loads(line)
        if event["kind"] == "snapshot.taken" and event["step"] == STEPS - 1:
            flipped = f"{int(event['digest'], 16) ^ 1:032x}"
            lines[number] = line.replace(event["digest"], flipped)
    journal.write_text("\n".join(lines) + "\n")
    code, said, told = replay(run, STEPS)
    assert code == 3
    assert said["difference"]["step"] == STEPS - 1 and said["difference"]["figure"].startswith("state of rank")
    assert said["difference"]["recorded"] == flipped and f"step {STEPS - 1}: state of rank" in told


def test_another_dataset_and_an_unknown_step_are_refused(run: Path) -> None:
    other = run.parent.parent / "other"
    prepare([Document(name="one", text="word " * 2000)], name="other", source="tests", output=other, vocabulary=300)
    code, said, told = replay(run, STEPS, "--dataset", str(other))
    assert (code, said) == (1, None) and "the run was trained on" in told
    code, said, told = replay(run, STEPS + 1)
    assert (code, said) == (1, None) and f"it records steps 1 to {STEPS}" in told
