"""Between a Hugging Face directory and a checkpoint of paceline, both ways.

Tensors have the same names on both sides, so converting is copying: tensor by tensor on the way in, shard file by
shard file on the way out. At most one file is in memory, never the model. No torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import mmap
import shutil
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from paceline.checkpoint import huggingface, merge
from paceline.checkpoint.blocks import Range
from paceline.checkpoint.dtypes import FLOATS, NUMPY, cast
from paceline.checkpoint.huggingface import CONFIG_NAME, HuggingFaceModel, belongs
from paceline.checkpoint.repository import CheckpointRepository, step_folder
from paceline.checkpoint.safetensors_file import TensorFile
from paceline.checkpoint.shard_file import Shard, ShardFileLayout, parse, plan
from paceline.checkpoint.weights import find_base
from paceline.spec.errors import CheckpointError
from paceline.spec.manifest import CheckpointFile, CheckpointManifest, FileRecord, TrainerState

Progress = Callable[[str, int, int], None]
# nothing was consumed, so there is no chain of hashes yet
_NO_LEDGER = "0" * 64


def import_model(source: Path, repository: CheckpointRepository, *, progress: Progress) -> CheckpointManifest:
    """Commit the model in `source` as step 0 of `repository`, its tensors in the types that they have.

    Raises CheckpointError when the model is not whole, or when there are checkpoints already.
    """
    if repository.steps():
        raise CheckpointError(f"{repository.store.uri}: holds checkpoints already", "import into a place of its own")
    model = huggingface.read(source)
    files = []
    for number, file in enumerate(model.files):
        progress("copy the weights", number, len(model.files))
        files.append(_put_file(file, model, repository, number))
    progress("copy the weights", len(model.files), len(model.files))
    assets = [_put_asset(path, repository) for path in model.companions]
    manifest = CheckpointManifest(
        run=source.resolve().name,
        created=datetime.now(UTC),
        step=0,
        recipe_sha256=None,
        image_digest=None,
        data_order=None,
        world_size=len(files),
        layout={"dp_shard": len(files)},
        trainer=TrainerState(step=0, tokens=0, next_index=0, ledger=_NO_LEDGER),
        files=tuple(files),
        model=model.document,
        assets=tuple(assets),
    )
    repository.commit(manifest)
    return manifest


def _put_file(file: TensorFile, model: HuggingFaceModel, repository: CheckpointRepository, rank: int) -> CheckpointFile:
    """One file of the model as one rank's shards."""
    entries = {name: entry for name, entry in file.entries.items() if belongs(name, model.config)}
    layout = plan(
        Shard(name=name, dtype=entry.dtype, shape=entry.shape, global_shape=entry.shape, offset=(0,) * len(entry.shape))
        for name, entry in entries.items()
    )
    with tempfile.TemporaryFile() as scratch:
        scratch.write(layout.header)
        for shard, _ in layout.shards:
            scratch.write(file.array(shard.name).data)
        scratch.flush()
        with mmap.mmap(scratch.fileno(), 0, access=mmap.ACCESS_READ) as whole, memoryview(whole) as content:
            return repository.put_shard(0, rank, content, generation=0)


def _put_asset(path: Path, repository: CheckpointRepository) -> FileRecord:
    content = path.read_bytes()
    repository.store.put(f"{step_folder(0)}/{path.name}", content)
    return FileRecord(name=path.name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def export_model(
    repository: CheckpointRepository,
    manifest: CheckpointManifest,
    target: Path,
    *,
    dtype: str | None,
    largest_file: int,
    progress: Progress,
) -> None:
    """Write the model of a checkpoint to the new directory `target`, without optimizer state.

    `dtype` is one of `FLOATS`; None takes what the imported model had, or else float32, in which runs keep weights. An
    adapter is merged into the model that it was learned beside, as that is in its own checkpoint: not quantised.
    Every byte that is read is verified. Raises CheckpointError when the checkpoint is damaged or incomplete; `target`
    is whole or not there.
    """
    if target.exists():
        raise CheckpointError(f"{target}: exists already", "give a directory that does not exist yet")
    if manifest.model is None:
        raise CheckpointError(
            f"{repository.uri(manifest.step)}: does not say which model it holds", "resume the run and save once more"
        )
    dtype = dtype or huggingface.stored_type(manifest.model)
    if dtype not in FLOATS:
        raise CheckpointError(f"{repository.uri(manifest.step)}: {dtype} cannot be written", "choose one with --dtype")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        adapter = merge.read(repository, manifest)
        source, weights = (repository, manifest) if adapter is None else merge.base_of(manifest)
        _write_weights(source, weights, manifest.model, partial, FLOATS[dtype], largest_file, progress, adapter=adapter)
        _write_companions(repository, manifest, manifest.model, partial, dtype)
        partial.chmod(0o755)  # mkdtemp makes it private
        partial.rename(target)
    except BaseException:  # Ctrl-C too: half a directory is not left behind
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_companions(
    repository: CheckpointRepository,
    manifest: CheckpointManifest,
    document: Mapping[str, Any],
    directory: Path,
    dtype: str,
) -> None:
    """Configuration and tokenizer: what a run did not change comes from the model that it started from."""
    holder, described = repository, manifest
    if manifest.base is not None:
        with contextlib.suppress(CheckpointError):  # weights that are whole without it can do without its tokenizer
            holder, described = find_base(manifest.base)
    both = {key: value for key, value in {**(described.model or {}), **document}.items() if key != "dtype"}
    huggingface.write_json(directory / CONFIG_NAME, both | {"torch_dtype": dtype})
    for asset in described.assets:
        (directory / asset.name).write_bytes(holder.read(described.step, asset))


def _write_weights(
    repository: CheckpointRepository,
    manifest: CheckpointManifest,
    document: Mapping[str, Any],
    directory: Path,
    dtype: str,
    largest_file: int,
    progress: Progress,
    *,
    adapter: merge.Merge | None,
) -> None:
    where = repository.uri(manifest.step)
    config = huggingface.family_of(document, where).from_hugging_face(document, where)
    homes = huggingface.create_weights(directory, config, dtype, largest_file)
    lacking = {tensor: math.prod(shape) for tensor, shape in config.tensors().items()}
    for tensor, values in (adapter.whole if adapter else {}).items():  # what the base does not have
        homes[tensor].array(tensor)[...] = cast(values, "F32", dtype)
        del lacking[tensor]
    copied: set[tuple[str, tuple[int, ...], tuple[int, ...]]] = set()

    def wanted(layout: ShardFileLayout) -> list[tuple[Shard, int]]:
        """What is replicated lies in several files and is needed once."""
        shards = [(shard, start) for shard, start in layout.shards if shard.name in homes]
        return [(s, start) for s, start in shards if (s.name, s.offset, s.shape) not in copied]

    def places(layout: ShardFileLayout) -> list[Range]:
        return [(start, start + shard.bytes) for shard, start in wanted(layout)]

    progress("copy the weights", 0, len(manifest.files))
    files = repository.contents(manifest.step, manifest.files, places)
    for number, (source, content) in enumerate(files, start=1):
        for shard, start in wanted(parse(content, source)):
            _copy(content, shard, start, homes[shard.name], where, adapter)
            copied.add((shard.name, shard.offset, shard.shape))
            lacking[shard.name] -= math.prod(shard.shape)
        progress("copy the weights", number, len(manifest.files))
    if incomplete := [tensor for tensor, elements in lacking.items() if elements]:
        raise CheckpointError(f"{where}: {incomplete[0]}: not whole in the checkpoint", "take an older checkpoint")
    for file in set(homes.values()):
        file.flush()


def _copy(
    content: memoryview, shard: Shard, start: int, output: TensorFile, where: str, adapter: merge.Merge | None
) -> None:
    """Put one shard into the tensor to which it belongs."""
    entry = output.entries[shard.name]
    if shard.global_shape != entry.shape:
        raise CheckpointError(
            f"{where}: {shard.name}: has shape {shard.global_shape}, the model has {entry.shape}",
            "take an older checkpoint",
        )
    held = np.frombuffer(content, NUMPY[shard.dtype], count=math.prod(shard.shape), offset=start)
    added = None if adapter is None else adapter.added(shard.name)
    for block in shard.blocks():
        values, dtype = held[block.elements].reshape(block.shape), shard.dtype
        if added is not None:
            values, dtype = cast(values, dtype, "F32") + added[block.region], "F32"
        output.array(shard.name)[block.region] = cast(values, dtype, entry.dtype)
