"""A model learns conversations through an adapter: from the command line to a directory that transformers loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration import method_samples

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

PACELINE = [sys.executable, "-c", "from paceline.cli.main import main; main()"]
RECIPE: dict[str, Any] = {
    "base": "debug-tiny",
    "model": {"weights": "model"},
    "batch": {"tokens": 1024, "micro_sequences": 2},
    "data": {"sequence_length": 256},
    "schedule": {"kind": "constant", "steps": 4, "warmup_steps": 0},
    "checkpoint": {"persist_every": 2},
}


def paceline(directory: Path, *arguments: str) -> Any:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [*PACELINE, *arguments, "-o", "json"]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout if arguments[0] != "run" else done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model in `model`, and conversations and preferences in its tokens."""
    here = tmp_path_factory.mktemp("fine-tune")
    method_samples.write(here, slice(60))
    (here / "text.md").write_text((here / "conversations.jsonl").read_text())
    paceline(here, "data", "prepare", "first", "text.md", "--vocabulary", "300")
    paceline(here, "run", "debug-tiny", "--data", "first", "--directory", "a", "--set", "train.steps=2",
             "--set", "schedule.warmup_steps=0")  # fmt: skip
    paceline(here, "checkpoint", "export", "a/checkpoints", "exported")
    paceline(here, "checkpoint", "import", "exported", "model")
    tokenizer = str(next((here / "first").glob("tokenizer-*.json")))
    common = ("--tokenizer", tokenizer, "--chat-template", "chatml", "--sequence-length", "256")
    paceline(here, "data", "prepare", "sft", "conversations.jsonl", "--method", "sft", *common)
    paceline(here, "data", "prepare", "pairs", "preferences.jsonl", "--method", "dpo", *common)
    return here


def manifest(root: Path, step: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / f"step-{step:08d}" / "manifest.json").read_text())
    return found


def test_an_adapter_resumes_to_the_same_bits_and_is_merged(directory: Path) -> None:
    transformers = pytest.importorskip("transformers")
    recipe = RECIPE | {"method": "sft", "adapter": {"rank": 4}}
    (directory / "lora.yaml").write_text(json.dumps(recipe), encoding="utf-8")  # JSON is YAML
    arguments = ("run", "./lora.yaml", "--data", "sft")
    paceline(directory, *arguments, "--directory", "whole")
    paceline(directory, *arguments, "--directory", "parts", "--set", "train.steps=2")
    paceline(directory, *arguments, "--directory", "parts")
    whole, parts = (manifest(directory / run / "checkpoints", 4) for run in ("whole", "parts"))
    assert whole["files"] and [f["sha256"] for f in whole["files"]] == [f["sha256"] for f in parts["files"]]
    assert whole["trainer"] == parts["trainer"]
    model = manifest(directory / "model", 0)
    assert sum(f["bytes"] for f in whole["files"]) < sum(f["bytes"] for f in model["files"]) / 5
    assert paceline(directory, "data", "verify", "parts")["different_step"] is None
    paceline(directory, "checkpoint", "export", "whole/checkpoints", "merged")
    before = transformers.AutoModelForCausalLM.from_pretrained(directory / "exported").state_dict()
    after = transformers.AutoModelForCausalLM.from_pretrained(directory / "merged").state_dict()
    changed = {name.split(".")[-2] for name in before if not before[name].equal(after[name])}
    assert changed == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_a_reward_model_becomes_a_classifier_of_transformers(directory: Path) -> None:
    transformers = pytest.importorskip("transformers")
    recipe = RECIPE | {"method": "reward", "schedule": {"kind": "constant", "steps": 2, "warmup_steps": 0}}
    (directory / "reward.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    paceline(directory, "run", "./reward.yaml", "--data", "pairs", "--directory", "reward")
    paceline(directory, "checkpoint", "export", "reward/checkpoints", "scores")
    scorer = transformers.AutoModelForSequenceClassification.from_pretrained(directory / "scores")
    assert scorer.score.weight.shape == (1, scorer.config.hidden_size)
    assert scorer.score.weight.abs().max() > 0


def test_preferences_are_not_read_as_conversations(directory: Path) -> None:
    (directory / "sft.yaml").write_text(json.dumps(RECIPE | {"method": "sft"}), encoding="utf-8")
    command = [*PACELINE, "run", "./sft.yaml", "--data", "pairs", "--directory", "none"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "holds preferences; method sft learns from conversations" in done.stderr
