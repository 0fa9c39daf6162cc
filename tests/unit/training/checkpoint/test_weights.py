from __future__ import annotations

from pathlib import Path

import pytest
import torch

from paceline.checkpoint.convert import import_model
from paceline.checkpoint.huggingface import create_weights, write_json
from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.restore import fill
from paceline.checkpoint.weights import find_weights
from paceline.clients.object_store import DirectoryStore
from paceline.engines.base import LogicalShard
from paceline.models.families import FAMILIES
from paceline.recipe.schema import ModelChoice
from paceline.spec.errors import CheckpointError

VOCABULARY = 64


@pytest.fixture
def root(tmp_path: Path) -> str:
    """An imported debug-sized Mistral in several files, every element of whose tensor n is n."""
    config = FAMILIES["mistral"].preset("debug", vocabulary=VOCABULARY)
    (tmp_path / "model").mkdir()
    homes = create_weights(tmp_path / "model", config, "F32", 2_000_000)
    for number, (name, file) in enumerate(homes.items()):
        file.array(name)[...] = number
    write_json(tmp_path / "model/config.json", config.to_hugging_face())
    repository = CheckpointRepository(DirectoryStore(tmp_path / "checkpoint"))
    manifest = import_model(tmp_path / "model", repository, progress=lambda what, done, total: None)
    assert len(manifest.files) > 2
    return str(tmp_path / "checkpoint")


def test_a_rank_gets_its_rows(root: str) -> None:
    state = {}
    for name, shape in FAMILIES["mistral"].preset("debug", vocabulary=VOCABULARY).tensors().items():
        half = shape[0] // 2
        tensor = torch.full((shape[0] - half, *shape[1:]), torch.nan)
        offset = (half,) + (0,) * (len(shape) - 1)
        state[name] = LogicalShard(tensor=tensor, global_shape=shape, offset=offset)
    repository, manifest = find_weights(ModelChoice(family="mistral", preset="debug"), root, VOCABULARY)
    fill(state, repository.contents(manifest.step, manifest.files))
    assert [shard.tensor.unique().tolist() for shard in state.values()] == [[n] for n in range(len(state))]


@pytest.mark.parametrize(
    "choice, vocabulary, message",
    [
        (ModelChoice(family="llama", preset="debug"), VOCABULARY, "is a mistral, not a llama"),
        (ModelChoice(family="mistral", preset="debug"), 99, "vocab_size: is 64, model.preset asks for 99"),
        (
            ModelChoice(family="mistral", preset="mistral-7b-v0.3"),
            VOCABULARY,
            "sliding_window: is 128, model.preset asks for None",
        ),
    ],
)
def test_weights_of_another_model_are_refused(root: str, choice: ModelChoice, vocabulary: int, message: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        find_weights(choice, root, vocabulary)
    assert message in caught.value.render()


def test_a_place_without_weights_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        find_weights(ModelChoice(preset="debug"), str(tmp_path), VOCABULARY)
