"""SFT and DPO with adapters on real weights, where PACELINE_SMOLLM2 names the GGUF file of the guide: the loss falls,
the reward margin rises, and transformers loads and generates from what was learned."""

from __future__ import annotations

import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paceline.checkpoint.convert import export_model, import_model
from paceline.checkpoint.gguf import convert
from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.restore import fill
from paceline.checkpoint.shard_file import plan
from paceline.checkpoint.snapshot import describe, tensor_at
from paceline.cli.model_files import read_template, read_tokenizer
from paceline.clients.object_store import DirectoryStore
from paceline.data.conversations import read_samples
from paceline.data.index import TokenDataset
from paceline.data.loader import Loader
from paceline.data.mixture import order_of
from paceline.data.prepare_samples import prepare_samples
from paceline.engines.base import RankContext, Rendezvous
from paceline.engines.torch.engine import TorchEngine
from paceline.recipe.method import PAIRS, Method
from paceline.recipe.schema import Recipe
from paceline.spec.manifest import BaseModelRecord, CheckpointManifest, TrainerState
from tests.integration import method_samples

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif("PACELINE_SMOLLM2" not in os.environ, reason="PACELINE_SMOLLM2 names no GGUF file"),
    pytest.mark.timeout(3000),
]
LENGTH = 96


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> CheckpointRepository:
    pytest.importorskip("gguf", reason="the reader of GGUF is not installed")
    directory = tmp_path_factory.mktemp("smollm2")
    (directory / "hf").mkdir()
    convert(Path(os.environ["PACELINE_SMOLLM2"]), directory / "hf", largest_file=2**31, progress=lambda *_: None)
    repository = CheckpointRepository(DirectoryStore(directory / "model"))
    import_model(directory / "hf", repository, progress=lambda *_: None)
    return repository


def learn(
    method: Method, steps: int, model: CheckpointRepository, directory: Path, **changes: Any
) -> tuple[list[float], list[float], CheckpointRepository]:
    """Losses and reward margins of the steps, and the checkpoint after them, in one process without supervisors."""
    method_samples.write(directory, limit=200)
    root = model.store.uri.removeprefix("file://")
    file = "preferences.jsonl" if method in PAIRS else "conversations.jsonl"
    prepare_samples(
        read_samples(str(directory / file), method),
        method=method,
        sequence_length=LENGTH,
        template=read_template(None, root),
        tokenizer=read_tokenizer(root, None),
        name="python",
        source="the interpreter",
        output=directory / "data",
    )
    recipe = Recipe.model_validate(
        {
            "name": "smollm2",
            "description": "answers about Python",
            "method": method,
            "adapter": {"rank": 8, "alpha": 16},
            "model": {"preset": "smollm2-135m", "weights": root},
            "data": {"sequence_length": LENGTH, "document_mask": method == "sft"},
            "batch": {"tokens": 4 * LENGTH, "micro_sequences": 4},
            "optimizer": {"learning_rate": 1e-3, "weight_decay": 0.0},
            "schedule": {"kind": "constant", "steps": steps},
            **changes,
        }
    )
    dataset = TokenDataset.open(directory / "data", sequence_length=LENGTH, verify=True)
    base, engine = model.manifest(0), TorchEngine()
    losses, margins = [], []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        meeting = Rendezvous(host="127.0.0.1", port=port, listen_fd=server.detach())
    engine.setup(
        recipe, dataset.manifest.vocabulary, RankContext(rank=0, world_size=1, generation=0, rendezvous=meeting)
    )
    engine.build(initialise=True)
    with engine.frozen() as frozen:
        fill(frozen, model.contents(0, base.files))
    loader = Loader(
        dataset,
        order_of(dataset, 0),
        sequences_per_step=recipe.sequences_per_step,
        rank=0,
        world_size=1,
        micro_sequences=recipe.batch.micro_sequences,
        end_of_text=dataset.manifest.end_of_text if recipe.data.document_mask else None,
    )
    with loader:
        for step in range(steps):
            out = engine.train_step(
                loader.step(step).microbatches,
                learning_rate=recipe.optimizer.learning_rate,
                totals=np.zeros(1, dtype=np.int64),
                before_update=lambda: None,
            )
            losses.append(out.loss.result())
            margins += [out.metrics["reward_margin"].result()] if out.metrics else []
            sys.stderr.write(f"{method} {recipe.adapter} {step} {losses[-1]:.4f} {margins[-1:]}\n")
    repository = save(engine, recipe, model, directory / "checkpoints")
    engine.teardown()
    return losses, margins, repository


def save(engine: TorchEngine, recipe: Recipe, model: CheckpointRepository, directory: Path) -> CheckpointRepository:
    state, base = engine.state(), model.manifest(0)
    layout = plan(describe(name, shard) for name, shard in state.items())
    content = bytearray(layout.total_bytes)
    content[: len(layout.header)] = layout.header
    for shard, start in layout.shards:
        tensor_at(content, shard, start).copy_(state[shard.name].tensor)
    repository = CheckpointRepository(DirectoryStore(directory))
    assert recipe.adapter is not None
    repository.commit(
        CheckpointManifest(
            run=recipe.name,
            created=datetime.now(UTC),
            step=recipe.schedule.steps,
            recipe_sha256=None,
            image_digest=None,
            data_order=None,
            world_size=1,
            layout={"dp_shard": 1},
            trainer=TrainerState(step=recipe.schedule.steps, tokens=0, next_index=0, ledger="0" * 64),
            files=(repository.put_shard(recipe.schedule.steps, 0, content, generation=0),),
            model=base.model,
            base=BaseModelRecord(root=model.store.uri, step=0, weights_sha256=base.weights_sha256),
            adapter=recipe.adapter.model_dump(),
        )
    )
    return repository


def size(repository: CheckpointRepository) -> int:
    return sum(file.bytes for file in repository.manifest(repository.steps()[0]).files)


@pytest.mark.parametrize("quantize", [None, "nf4"])
def test_answers_are_learned_and_transformers_speaks_them(
    model: CheckpointRepository, tmp_path: Path, quantize: str | None
) -> None:
    transformers = pytest.importorskip("transformers")
    steps = 6
    losses, _, learned = learn("sft", steps, model, tmp_path, adapter={"rank": 8, "alpha": 16, "quantize": quantize})
    assert np.mean(losses[-2:]) < losses[0] - 0.1
    assert size(learned) < size(model) / 10
    export_model(
        learned, learned.manifest(steps), tmp_path / "out", dtype=None, largest_file=2**31, progress=lambda *_: None
    )
    speaker = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    question = [{"role": "user", "content": "What is json.dumps in Python?"}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    said = speaker.generate(**prompt, max_new_tokens=8, do_sample=False)
    assert said.shape[1] > prompt["input_ids"].shape[1]


def test_preferences_are_learned(model: CheckpointRepository, tmp_path: Path) -> None:
    gentle = {"learning_rate": 1e-4, "weight_decay": 0.0}
    losses, margins, _ = learn("dpo", 8, model, tmp_path, optimizer=gentle)
    assert losses[0] == pytest.approx(0.693147, abs=1e-4)  # it begins as its own reference
    assert margins[0] == pytest.approx(0.0, abs=1e-4)
    assert min(losses[1:]) < 0.69
    assert max(margins[1:]) > 0.01
