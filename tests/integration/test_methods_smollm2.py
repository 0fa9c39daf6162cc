"""Every method on real weights: what it has not seen is answered better, or preferred; and transformers speaks what was
learned. The guide's table (docs/guides/fine-tune-on-your-documents.md) holds what it measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paceline.checkpoint.convert import export_model
from paceline.checkpoint.repository import CheckpointRepository
from paceline.clients.object_store import DirectoryStore
from paceline.recipe.method import PAIRS, Method
from paceline.recipe.schema import Recipe
from tests.integration import method_samples
from tests.integration.lesson import Lesson, lay_out, teach

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]
LENGTH = 64
LONGEST = 100
"""Characters of an answer, so that it fits with its question."""


def lesson(method: Method, model: Path, directory: Path, *, steps: int, rate: float, **changes: Any) -> Lesson:
    recipe = Recipe.model_validate(
        {
            "name": f"smollm2-{method}",
            "description": "answers about Python",
            "method": method,
            "model": {"preset": "smollm2-135m", "weights": str(model)},
            "data": {"sequence_length": LENGTH, "document_mask": method == "sft"},
            "batch": {"tokens": 8 * LENGTH, "micro_sequences": 4},
            "optimizer": {"learning_rate": rate, "weight_decay": 0.0},
            "schedule": {"kind": "constant", "steps": steps},
            **changes,
        }
    )
    file = "preferences.jsonl" if method in PAIRS else "conversations.jsonl"
    # far from each other in the library, so that no two answers are alike
    parts = {"held-out": slice(0, None, 150), "learned": slice(1, None, 15)}
    for name, part in parts.items():
        method_samples.write(directory / name, part, longest=LONGEST)
    held_out, learned = (
        lay_out(directory / name / file, recipe, model, directory / f"{name}-tokens") for name in parts
    )
    return teach(recipe, learned, held_out, directory / "checkpoints")


def size(repository: CheckpointRepository) -> int:
    return sum(file.bytes for file in repository.manifest(repository.steps()[0]).files)


def assert_spoken(lesson: Lesson, directory: Path) -> None:
    """transformers loads what was learned, and answers."""
    transformers = pytest.importorskip("transformers")
    manifest = lesson.learned.manifest(lesson.learned.steps()[0])
    export_model(lesson.learned, manifest, directory, dtype=None, largest_file=2**31, progress=lambda *_: None)
    speaker = transformers.AutoModelForCausalLM.from_pretrained(directory)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    question = [{"role": "user", "content": "What is json.dumps in Python?"}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    said = speaker.generate(**prompt, max_new_tokens=8, do_sample=False)
    assert said.shape[1] > prompt["input_ids"].shape[1]


def test_answers_are_learned_by_all_weights(smollm2: Path, tmp_path: Path) -> None:
    found = lesson("sft", smollm2, tmp_path, steps=4, rate=5e-5)
    assert found.after.sum() < 0.97 * found.before.sum()
    assert_spoken(found, tmp_path / "out")


def test_answers_are_learned_in_adapters(smollm2: Path, tmp_path: Path) -> None:
    found = lesson("sft", smollm2, tmp_path, steps=4, rate=1e-3, adapter={"rank": 8, "alpha": 16})
    assert found.after.sum() < 0.97 * found.before.sum()
    assert size(found.learned) < size(CheckpointRepository(DirectoryStore(smollm2))) / 10
    assert_spoken(found, tmp_path / "out")


def test_preferences_are_learned(smollm2: Path, tmp_path: Path) -> None:
    found = lesson("dpo", smollm2, tmp_path, steps=6, rate=2e-4, adapter={"rank": 8, "alpha": 16})
    assert found.losses[0] == pytest.approx(0.693147, abs=1e-4)  # it begins as its own reference
    assert found.metrics[0]["reward_margin"] == pytest.approx(0.0, abs=1e-4)
    assert found.margins(beta=0.1).mean() > 0.01
