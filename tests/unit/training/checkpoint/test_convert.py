"""Models in and out: a Hugging Face directory, a checkpoint, a Hugging Face directory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from paceline.checkpoint import huggingface
from paceline.checkpoint.convert import export_model, import_model
from paceline.checkpoint.dtypes import FLOATS, NUMPY
from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.safetensors_file import TensorFile
from paceline.checkpoint.shard_file import Shard, plan
from paceline.clients.object_store import DirectoryStore
from paceline.spec.errors import CheckpointError
from paceline.spec.manifest import CheckpointManifest
from tests.tiny_models import TINY

LARGE = 2**30


def no_progress(what: str, done: int, total: int) -> None:
    assert done <= total


def write_model(directory: Path, family: str = "mixtral", *, dtype: str = "bfloat16", largest: int = LARGE) -> Path:
    """A model of random weights with a tokenizer."""
    directory.mkdir()
    config = TINY[family]
    homes = huggingface.create_weights(directory, config, FLOATS[dtype], largest)
    generator = np.random.default_rng(0)
    for name, file in homes.items():
        target = file.array(name)
        if dtype == "float32":
            target[...] = generator.normal(size=target.shape)
        else:  # finite values of any kind
            target[...] = generator.integers(0, 0x7000, size=target.shape)
    document = config.to_hugging_face() | {"torch_dtype": dtype, "eos_token_id": 7}
    huggingface.write_json(directory / "config.json", document)
    (directory / "tokenizer.json").write_text('{"a": "tokenizer"}')
    return directory


def tensors(directory: Path) -> dict[str, bytes]:
    return {name: file.array(name).tobytes() for file in huggingface.read(directory).files for name in file.entries}


@pytest.fixture
def repository(tmp_path: Path) -> CheckpointRepository:
    return CheckpointRepository(DirectoryStore(tmp_path / "checkpoint"))


def export(
    repository: CheckpointRepository, target: Path, *, dtype: str | None = None, largest_file: int = LARGE
) -> Path:
    manifest = repository.manifest(0)
    export_model(repository, manifest, target, dtype=dtype, largest_file=largest_file, progress=no_progress)
    return target


@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("largest", [LARGE, 4_000])
def test_what_goes_in_comes_out(family: str, largest: int, tmp_path: Path, repository: CheckpointRepository) -> None:
    source = write_model(tmp_path / "in", family, largest=largest)
    manifest = import_model(source, repository, progress=no_progress)
    assert repository.verify(0) == manifest
    target = export(repository, tmp_path / "out", largest_file=3_000)
    assert tensors(target) == tensors(source)
    assert json.loads((target / "config.json").read_text()) == json.loads((source / "config.json").read_text())
    assert (target / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()
    index = json.loads((target / "model.safetensors.index.json").read_text())
    assert list(index["weight_map"]) == list(TINY[family].tensors())
    assert index["metadata"]["total_size"] == 2 * TINY[family].parameters
    assert {path.name for path in target.glob("*.safetensors")} == set(index["weight_map"].values())


def test_the_library_of_safetensors_reads_what_is_written(tmp_path: Path, repository: CheckpointRepository) -> None:
    import_model(write_model(tmp_path / "in", dtype="float32"), repository, progress=no_progress)
    target = export(repository, tmp_path / "out")
    expected = tensors(target)
    with safe_open(target / "model.safetensors", framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}
        assert {name: file.get_tensor(name).tobytes() for name in file.keys()} == expected  # noqa: SIM118


def test_weights_are_rounded_to_the_type_that_is_asked_for(tmp_path: Path, repository: CheckpointRepository) -> None:
    source = write_model(tmp_path / "in", "llama", dtype="float32")
    import_model(source, repository, progress=no_progress)
    target = export(repository, tmp_path / "out", dtype="float16")
    assert json.loads((target / "config.json").read_text())["torch_dtype"] == "float16"
    expected = {n: np.frombuffer(b, "<f4").astype("<f2").tobytes() for n, b in tensors(source).items()}
    assert tensors(target) == expected


def test_shards_of_any_layout_become_whole_tensors(tmp_path: Path, repository: CheckpointRepository) -> None:
    """Two ranks hold rows each, and what is replicated twice; the optimizer's state stays behind."""
    source = write_model(tmp_path / "in", "llama", dtype="float32")
    values = {n: np.frombuffer(b, "<f4").reshape(TINY["llama"].tensors()[n]) for n, b in tensors(source).items()}
    files = []
    for rank in range(2):
        blocks: dict[Shard, bytes] = {}
        for name, whole in values.items():
            first, last = (0, len(whole)) if whole.ndim == 1 else (rank * 7, len(whole) if rank else 7)
            block = whole[first:last]
            shard = {"dtype": "F32", "shape": block.shape, "global_shape": whole.shape}
            offset = (first,) + (0,) * (whole.ndim - 1)
            blocks[Shard(name=name, offset=offset, **shard)] = block.tobytes()
            blocks[Shard(name=f"optimizer.exp_avg.{name}", offset=offset, **shard)] = bytes(block.nbytes)
        content = plan(blocks).header + b"".join(blocks.values())
        files.append(repository.put_shard(0, rank, content, generation=0))
    reference = CheckpointRepository(DirectoryStore(tmp_path / "reference"))
    manifest = import_model(source, reference, progress=no_progress)
    repository.commit(manifest.model_copy(update={"files": tuple(files), "world_size": 2, "assets": ()}))
    assert tensors(export(repository, tmp_path / "out")) == tensors(source)

    repository.commit(manifest.model_copy(update={"files": tuple(files[:1]), "world_size": 1, "assets": ()}))
    with pytest.raises(CheckpointError, match=r"model\.embed_tokens\.weight: not whole in the checkpoint"):
        export(repository, tmp_path / "half")
    assert not (tmp_path / "half").exists()


def test_a_head_that_is_tied_is_not_kept_twice(tmp_path: Path, repository: CheckpointRepository) -> None:
    source = write_model(tmp_path / "in", "qwen3")
    file = TensorFile.open(source / "model.safetensors")
    entries = dict(file.entries) | {"lm_head.weight": file.entries["model.embed_tokens.weight"]}
    more = TensorFile.create(source / "more", entries)
    for name in file.entries:
        more.array(name)[...] = file.array(name)
    more.flush()
    (source / "more").replace(source / "model.safetensors")
    import_model(source, repository, progress=no_progress)
    assert "lm_head.weight" not in tensors(export(repository, tmp_path / "out"))


def test_all_that_is_wrong_with_a_model_is_told_at_once(tmp_path: Path, repository: CheckpointRepository) -> None:
    source = write_model(tmp_path / "in", "llama")
    file = TensorFile.open(source / "model.safetensors")
    entries = {f"odd.{n}" if "gate_proj" in n else n: e for n, e in file.entries.items() if "norm" not in n}
    (source / "model.safetensors").unlink()
    TensorFile.create(source / "model.safetensors", entries).flush()
    document = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(document | {"vocab_size": 47}))
    with pytest.raises(CheckpointError) as caught:
        import_model(source, repository, progress=no_progress)
    layer = "model.layers.0"
    assert [problem.message.removeprefix(f"{source}: ") for problem in caught.value.problems] == [
        f"{layer}.input_layernorm.weight, {layer}.post_attention_layernorm.weight, {layer}.mlp.gate_proj.weight"
        " and 4 more: missing",
        f"odd.{layer}.mlp.gate_proj.weight, odd.model.layers.1.mlp.gate_proj.weight: not of this model",
        "model.embed_tokens.weight: has shape (48, 24), config.json asks for (47, 24)",
        "lm_head.weight: has shape (48, 24), config.json asks for (47, 24)",
    ]
    assert repository.steps() == []


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda d: (d / "config.json").unlink(), "config.json: missing"),
        (lambda d: (d / "config.json").write_text("{"), "config.json: cannot be read"),
        (lambda d: (d / "config.json").write_text('{"model_type": "lama"}'), "model_type `lama` is not a family"),
        (lambda d: (d / "model.safetensors").unlink(), "neither model.safetensors nor"),
        (lambda d: (d / "model.safetensors").write_bytes(b"short"), "cannot be read as safetensors"),
        (lambda d: (d / "model.safetensors").write_bytes(b""), "cannot be read as safetensors"),
        (lambda d: (d / "model.safetensors").write_bytes((d / "model.safetensors").read_bytes()[:-1]), "does not fit"),
    ],
)
def test_a_damaged_model_is_refused(damage: object, message: str, tmp_path: Path, repository: object) -> None:
    assert callable(damage) and isinstance(repository, CheckpointRepository)
    source = write_model(tmp_path / "in", "llama")
    damage(source)
    with pytest.raises(CheckpointError) as caught:
        import_model(source, repository, progress=no_progress)
    assert message in caught.value.render()


def test_a_place_in_use_is_left_alone(tmp_path: Path, repository: CheckpointRepository) -> None:
    source = write_model(tmp_path / "in", "llama")
    import_model(source, repository, progress=no_progress)
    with pytest.raises(CheckpointError, match="holds checkpoints already"):
        import_model(source, repository, progress=no_progress)
    with pytest.raises(CheckpointError, match="exists already"):
        export(repository, source)


def test_an_interrupted_export_leaves_nothing(tmp_path: Path, repository: CheckpointRepository) -> None:
    manifest = import_model(write_model(tmp_path / "in", "llama"), repository, progress=no_progress)

    def interrupt(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_model(repository, manifest, tmp_path / "to/out", dtype=None, largest_file=LARGE, progress=interrupt)
    assert list((tmp_path / "to").iterdir()) == []


def test_an_altered_tokenizer_is_found(tmp_path: Path, repository: CheckpointRepository) -> None:
    import_model(write_model(tmp_path / "in", "llama"), repository, progress=no_progress)
    (tmp_path / "checkpoint/step-00000000/tokenizer.json").write_text('{"b": "tokenizer"}')
    with pytest.raises(CheckpointError, match=r"tokenizer\.json.*altered"):
        repository.verify(0)


def test_a_checkpoint_that_does_not_know_its_model_is_not_exported(
    tmp_path: Path, repository: CheckpointRepository
) -> None:
    manifest: CheckpointManifest = import_model(write_model(tmp_path / "in", "llama"), repository, progress=no_progress)
    repository.commit(manifest.model_copy(update={"model": None}))
    with pytest.raises(CheckpointError, match="does not say which model it holds"):
        export(repository, tmp_path / "out")


def test_a_type_that_cannot_be_written_is_told(tmp_path: Path, repository: CheckpointRepository) -> None:
    source = write_model(tmp_path / "in", "llama")
    document = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(document | {"torch_dtype": "float8_e4m3fn"}))
    import_model(source, repository, progress=no_progress)
    with pytest.raises(CheckpointError, match="float8_e4m3fn cannot be written"):
        export(repository, tmp_path / "out")
    assert tensors(export(repository, tmp_path / "out", dtype="bfloat16")) == tensors(source)


def test_an_index_without_files_is_told(tmp_path: Path, repository: CheckpointRepository) -> None:
    source = write_model(tmp_path / "in", "llama")
    (source / "model.safetensors.index.json").write_text('{"weight_map": []}')
    with pytest.raises(CheckpointError, match="weight_map: missing"):
        import_model(source, repository, progress=no_progress)


def test_every_stored_type_has_a_numpy_type_of_its_size() -> None:
    from paceline.checkpoint.shard_file import ITEM_BYTES

    assert {name: np.dtype(kind).itemsize for name, kind in NUMPY.items()} == ITEM_BYTES
