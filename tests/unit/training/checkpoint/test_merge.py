"""An adapter is merged into the model that it was learned beside, and into no other."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from paceline.checkpoint.convert import export_model
from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.safetensors_file import TensorFile
from paceline.checkpoint.shard_file import plan
from paceline.checkpoint.snapshot import describe, tensor_at
from paceline.clients.object_store import DirectoryStore
from paceline.engines.base import LogicalShard
from paceline.models.adapter import adapter_tensors
from paceline.recipe.method import Adapter
from paceline.spec.errors import CheckpointError
from paceline.spec.manifest import BaseModelRecord, CheckpointManifest, TrainerState
from tests.tiny_models import TINY, build, state_of

ADAPTER = Adapter(rank=3, alpha=6.0, targets=("q_proj", "down_proj"))
CONFIG = TINY["llama"]


def commit(
    directory: Path,
    ranks: list[dict[str, LogicalShard]],
    base: BaseModelRecord | None = None,
    adapter: Adapter | None = None,
) -> CheckpointRepository:
    repository = CheckpointRepository(DirectoryStore(directory))
    files = []
    for rank, shards in enumerate(ranks):
        layout = plan(describe(name, shard) for name, shard in shards.items())
        content = bytearray(layout.total_bytes)
        content[: len(layout.header)] = layout.header
        for shard, start in layout.shards:
            tensor_at(content, shard, start).copy_(shards[shard.name].tensor)
        files.append(repository.put_shard(1, rank, content, generation=0))
    manifest = CheckpointManifest(
        run="test", created=datetime.now(UTC), step=1, recipe_sha256=None, image_digest=None, data_order=None,
        world_size=len(ranks), layout={"dp_shard": len(ranks)},
        trainer=TrainerState(step=1, tokens=0, next_index=0, ledger="0" * 64), files=tuple(files),
        model=CONFIG.to_hugging_face(), base=base, adapter=adapter.model_dump() if adapter else None,
    )  # fmt: skip
    repository.commit(manifest)
    return repository


def halves(tensors: dict[str, torch.Tensor]) -> list[dict[str, LogicalShard]]:
    """As two ranks would hold them, by rows."""
    found: list[dict[str, LogicalShard]] = []
    for rank in range(2):
        shards = {}
        for name, tensor in tensors.items():
            chunk = -(-tensor.shape[0] // 2)
            own = tensor[rank * chunk : (rank + 1) * chunk]
            shards[name] = LogicalShard(tensor=own, global_shape=tuple(tensor.shape), offset=(rank * chunk, 0))
        found.append(shards)
    return found


@pytest.fixture
def model(tmp_path: Path) -> CheckpointRepository:
    return commit(tmp_path / "model", [state_of(build(CONFIG))])


def adapted(tmp_path: Path, model: CheckpointRepository) -> tuple[CheckpointRepository, dict[str, torch.Tensor]]:
    tensors = {name: torch.randn(shape) for name, shape in adapter_tensors(CONFIG, ADAPTER).items()}
    base = BaseModelRecord(root=model.store.uri, step=1, weights_sha256=model.manifest(1).weights_sha256)
    return commit(tmp_path / "run", halves(tensors), base, ADAPTER), tensors


def export(run: CheckpointRepository, target: Path) -> TensorFile:
    export_model(run, run.manifest(1), target, dtype=None, largest_file=2**30, progress=lambda *_: None)
    return TensorFile.open(target / "model.safetensors")


def test_weights_with_an_adapter_get_their_product_and_others_stay(tmp_path: Path, model: CheckpointRepository) -> None:
    run, tensors = adapted(tmp_path, model)
    merged = export(run, tmp_path / "out")
    for name, parameter in build(CONFIG).named_parameters():
        module, expected = name.removesuffix(".weight"), parameter.detach()
        if f"{module}.lora_A.weight" in tensors:
            expected = expected + 2.0 * tensors[f"{module}.lora_B.weight"] @ tensors[f"{module}.lora_A.weight"]
            np.testing.assert_allclose(merged.array(name), expected.numpy(), rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(merged.array(name), expected.numpy())


def test_another_model_in_the_place_of_the_base_is_refused(tmp_path: Path, model: CheckpointRepository) -> None:
    run, _ = adapted(tmp_path, model)
    other = build(CONFIG)
    torch.nn.init.ones_(other.lm_head.weight)
    commit(tmp_path / "model", [state_of(other)])
    with pytest.raises(CheckpointError, match="is not the model that training started from"):
        export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
