"""Our models beside `transformers` on tiny configurations, through the files that both read and write."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from paceline.checkpoint.convert import export_model, import_model
from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.restore import fill
from paceline.checkpoint.safetensors_file import TensorFile
from paceline.clients.object_store import DirectoryStore
from paceline.models.decoder import CausalLM
from paceline.models.families import FAMILIES
from paceline.models.layers import PlainLayers
from paceline.spec.manifest import CheckpointManifest
from tests.tiny_models import TINY, build, some_ids, state_of

pytestmark = pytest.mark.integration
transformers: Any = pytest.importorskip("transformers", reason="the peer is not installed (requirements-dev.txt)")


def peer_of(family: str, **changes: Any) -> Any:
    """The peer's model with parameters that all differ."""
    document = dataclasses.replace(TINY[family], **changes).to_hugging_face()
    config = transformers.AutoConfig.for_model(document.pop("model_type"), **document)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for parameter in model.parameters():
        parameter.data.normal_(0.5 if parameter.dim() == 1 else 0.0, 0.3)
    return model.eval()


def imported(directory: Path, place: Path) -> tuple[CausalLM, CheckpointRepository, CheckpointManifest]:
    """Our model with the weights of a directory, by way of a checkpoint."""
    repository = CheckpointRepository(DirectoryStore(place))
    manifest = import_model(directory, repository, progress=lambda what, done, total: None)
    document = json.loads((directory / "config.json").read_text())
    model = build(FAMILIES[document["model_type"]].from_hugging_face(document, str(directory)))
    fill(state_of(model), ((file.name, memoryview(repository.read(0, file))) for file in manifest.files))
    return model, repository, manifest


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


def test_logits_are_the_same_and_the_weights_come_back(family: str, tmp_path: Path) -> None:
    peer = peer_of(family)
    peer.save_pretrained(tmp_path / "theirs")
    model, repository, manifest = imported(tmp_path / "theirs", tmp_path / "checkpoint")
    ids = some_ids(model.config)
    with torch.no_grad():
        expected = peer(ids).logits
        torch.testing.assert_close(model(ids), expected, rtol=1e-5, atol=1e-5)

    export_model(
        repository, manifest, tmp_path / "ours", dtype=None, largest_file=9_000, progress=lambda what, done, total: None
    )
    assert (tmp_path / "ours/model.safetensors.index.json").is_file()
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", attn_implementation="eager").eval()
    with torch.no_grad():
        assert torch.equal(again(ids).logits, expected)


def test_files_have_exactly_the_tensors_that_we_list(family: str, tmp_path: Path) -> None:
    peer_of(family).save_pretrained(tmp_path)
    stored = TensorFile.open(tmp_path / "model.safetensors").entries
    assert {name: entry.shape for name, entry in stored.items()} == TINY[family].tensors()


def test_the_gradient_of_the_first_layer_is_the_same(family: str, tmp_path: Path) -> None:
    peer = peer_of(family)
    peer.save_pretrained(tmp_path / "theirs")
    model = build(TINY[family], _WithoutBalance())
    model.load_state_dict(imported(tmp_path / "theirs", tmp_path / "checkpoint")[0].state_dict())
    ids = some_ids(model.config)
    for logits in (peer(ids).logits, model(ids)):
        F.cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()
    for name in ("model.layers.0.self_attn.k_proj.weight", "model.embed_tokens.weight"):
        ours, theirs = model.get_parameter(name).grad, peer.get_parameter(name).grad
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


class _WithoutBalance(PlainLayers):
    def add_loss(self, output: torch.Tensor, loss: torch.Tensor) -> torch.Tensor:
        return output


@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe"])
def test_the_balance_loss_of_one_layer_is_the_same(family: str, tmp_path: Path) -> None:
    peer = peer_of(family, num_hidden_layers=1)
    peer.save_pretrained(tmp_path / "theirs")
    loaded, _, _ = imported(tmp_path / "theirs", tmp_path / "checkpoint")
    ids = some_ids(loaded.config)
    model = build(loaded.config, PlainLayers(loss_tokens=ids.numel()))
    model.load_state_dict(loaded.state_dict())
    output = peer(ids, output_router_logits=True)
    (output.logits.sum() * 0.0 + TINY[family].router_aux_loss_coef * output.aux_loss).backward()
    (model(ids).sum() * 0.0).backward()
    block = "block_sparse_moe" if family == "mixtral" else "mlp"
    ours = model.get_parameter(f"model.layers.0.{block}.gate.weight").grad
    theirs = peer.get_parameter("model.layers.0.mlp.gate.weight").grad
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
