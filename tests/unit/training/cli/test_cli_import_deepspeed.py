"""`paceline checkpoint import` of a universal checkpoint of DeepSpeed, and `export --zero`, which makes one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from paceline.checkpoint.deepspeed_files import read, write
from paceline.checkpoint.huggingface import write_json
from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.shard_file import plan
from paceline.checkpoint.snapshot import describe, tensor_at
from paceline.cli.main import app
from paceline.clients.object_store import DirectoryStore
from paceline.engines.base import LogicalShard
from paceline.spec.manifest import CheckpointManifest, TrainerState
from tests.tiny_models import TINY

CONFIG = TINY["mixtral"]


def tensors() -> dict[str, torch.Tensor]:
    shapes = CONFIG.tensors()
    parameters = {name: torch.randn(shape) for name, shape in shapes.items()}
    moments = {f"optimizer.{k}.{name}": torch.rand(s) for k in ("exp_avg", "exp_avg_sq") for name, s in shapes.items()}
    return parameters | moments | {f"optimizer.step.{name}": torch.tensor(4.0) for name in shapes}


def commit(root: Path, held: dict[str, torch.Tensor], **manifest: object) -> None:
    """As one rank saves it."""
    repository = CheckpointRepository(DirectoryStore(root))
    shards = {n: LogicalShard(tensor=t, global_shape=tuple(t.shape), offset=(0,) * t.dim()) for n, t in held.items()}
    layout = plan(describe(name, shard) for name, shard in shards.items())
    content = bytearray(layout.total_bytes)
    content[: len(layout.header)] = layout.header
    for shard, start in layout.shards:
        tensor_at(content, shard, start).copy_(shards[shard.name].tensor)
    said = {
        "run": "test", "created": datetime.now(UTC), "step": 4, "recipe_sha256": "0" * 64, "image_digest": None,
        "data_order": "0" * 64, "world_size": 1, "layout": {"dp_shard": 1},
        "trainer": TrainerState(step=4, tokens=0, next_index=0, ledger="0" * 64),
        "files": (repository.put_shard(4, 0, content, generation=0),), "model": CONFIG.to_hugging_face(),
    }  # fmt: skip
    repository.commit(CheckpointManifest.model_validate(said | manifest))


def test_a_tag_becomes_the_weights_of_a_recipe(tmp_path: Path) -> None:
    write(tmp_path / "step_4", tensors(), CONFIG, zero=3)
    write_json(tmp_path / "step_4" / "config.json", CONFIG.to_hugging_face())
    result = CliRunner().invoke(
        app, ["checkpoint", "import", str(tmp_path / "step_4"), str(tmp_path / "weights"), "-o", "json"]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["model"]["model_type"] == "mixtral"


@pytest.mark.parametrize("zero", ["1", "3"])
def test_a_checkpoint_of_a_run_goes_out_with_its_optimizer(tmp_path: Path, zero: str) -> None:
    held = tensors()
    commit(tmp_path / "run", held)
    result = CliRunner().invoke(
        app, ["checkpoint", "export", str(tmp_path / "run"), str(tmp_path / "out" / "step_4"), "--zero", zero]
    )
    assert result.exit_code == 0, result.output
    back = read(tmp_path / "out" / "step_4", CONFIG)
    assert back.keys() == held.keys() and all(torch.equal(back[name], held[name]) for name in held)
    assert (tmp_path / "out" / "latest_universal").read_text() == "step_4"
    assert "optimizer_state.pt" in result.stdout


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"data_order": None}, "holds no optimizer"),
        ({"adapter": {"rank": 4}}, "holds an adapter"),
        ({"model": TINY["llama"].to_hugging_face()}, "the checkpoint holds"),
    ],
)
def test_what_cannot_go_out_is_told_and_nothing_is_left(tmp_path: Path, manifest: dict[str, object], said: str) -> None:
    commit(tmp_path / "run", tensors(), **manifest)
    result = CliRunner().invoke(
        app, ["checkpoint", "export", str(tmp_path / "run"), str(tmp_path / "out" / "tag"), "--zero", "2"]
    )
    assert result.exit_code == 1 and said in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_universal_checkpoint_has_one_type(tmp_path: Path) -> None:
    both = ["--zero", "2", "--dtype", "bfloat16"]
    result = CliRunner().invoke(app, ["checkpoint", "export", str(tmp_path), str(tmp_path / "tag"), *both])
    assert result.exit_code == 2 and "float32" in result.output
