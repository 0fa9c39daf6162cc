"""A universal checkpoint of DeepSpeed on disk, both ways, and its model as a Hugging Face directory.

    latest_universal                                          beside the tag: its name, written last
    <tag>/zero/<parameter>/fp32.pt, exp_avg.pt, exp_avg_sq.pt     whole; a row of elements if ZeRO-3 has written it
    <tag>/zero/<parameter>/step.pt                            not of ZeRO-3, which has one for all in the next file
    <tag>/zero/optimizer_state.pt                             what is not of one parameter
    <tag>/[zero_pp_rank_0_]mp_rank_00_model_states.pt         the counters of a run; the prefix is that of ZeRO-3

The experts of a layer are one parameter, as models here hold them, or one each, as in Hugging Face's files.
Source: deepspeed 0.19.2, `checkpoint/ds_to_universal.py`, `checkpoint/universal_checkpoint.py`, `runtime/engine.py`.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from paceline.checkpoint import foreign
from paceline.checkpoint.convert import Progress
from paceline.checkpoint.foreign import Tensors
from paceline.checkpoint.huggingface import CONFIG_NAME, family_of, write_json
from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.restore import fill
from paceline.engines.base import LogicalShard
from paceline.models.config import DecoderConfig
from paceline.models.families import SHARDING
from paceline.spec.errors import CheckpointError
from paceline.spec.manifest import CheckpointManifest

_MOMENTS = ("exp_avg", "exp_avg_sq")
_FOLLOWS = "0.19.2"  # DeepSpeed reads which version has written what it loads
_AGAIN = "take an older tag, or save this one again"


def convert(source: Path, directory: Path, *, largest_file: int, progress: Progress) -> None:
    """Write the model of the tag `source`, in which its `config.json` lies, to the existing `directory`, in float32."""
    foreign.convert(source, directory, parameters, largest_file=largest_file, progress=progress)


def parameters(source: Path, config: DecoderConfig) -> Tensors:
    """The parameters, mapped into memory. Raises CheckpointError when one is missing, damaged or of another model."""
    if not (source / "zero").is_dir():
        command = f"python -m deepspeed.checkpoint.ds_to_universal --input_folder {source} --output_folder"
        raise CheckpointError(
            f"{source}: holds what ranks have left, and no universal checkpoint (there is no folder `zero`)",
            f"make one of it where DeepSpeed is installed: {command} {source}_universal --inject_missing_state",
        )
    return {name: _whole(source, config, name, "fp32", shape) for name, shape in config.tensors().items()}


def read(source: Path, config: DecoderConfig) -> Tensors:
    """Parameters, and of AdamW `optimizer.<kind>.<name>`. Raises as `parameters` does."""
    tensors = parameters(source, config)
    for kind in _MOMENTS:
        moments = {name: _whole(source, config, name, kind, shape) for name, shape in config.tensors().items()}
        tensors |= {f"optimizer.{kind}.{name}": moment for name, moment in moments.items()}
    return tensors | {f"optimizer.step.{name}": _step(source, config, name) for name in config.tensors()}


def write(target: Path, tensors: Mapping[str, Tensor], config: DecoderConfig, *, zero: int) -> None:
    """Make the tag `target` of what `read` gives, for an engine whose ZeRO has the stage `zero`."""
    plan = SHARDING[config.family]
    held: dict[str, list[str]] = {}
    for name in config.tensors():
        held.setdefault((plan.stacked(name) or (name, 0))[0], []).append(name)
    for parameter, names in held.items():
        folder = target / "zero" / parameter
        folder.mkdir(parents=True)
        for kind, prefix in (("fp32", ""), *((kind, f"optimizer.{kind}.") for kind in _MOMENTS)):
            parts = [tensors[prefix + name].float() for name in names]
            whole = torch.stack(parts) if plan.stacked(names[0]) else parts[0].clone()
            torch.save(whole.flatten() if zero == 3 else {"param": whole, "cat_dim": 0}, folder / f"{kind}.pt")
        if zero < 3:
            torch.save(tensors[f"optimizer.step.{names[0]}"].clone(), folder / "step.pt")
    step = tensors[f"optimizer.step.{next(iter(config.tensors()))}"].clone()
    shared = {
        "ds_version": _FOLLOWS,
        # DeepSpeed restores as many groups as it has itself, at most as many as there are here
        "param_groups": [{} for _ in held],
        "optimizer_state_dict": {"state": {0: {"step": step}}, "param_groups": [{}]},
    }
    torch.save(shared, target / "zero" / "optimizer_state.pt")
    counters = {"module": {}, "global_steps": int(step), "skipped_steps": 0, "dp_world_size": 1, "mp_world_size": 1}
    torch.save(counters, target / f"{'zero_pp_rank_0_' if zero == 3 else ''}mp_rank_00_model_states.pt")


def export(
    repository: CheckpointRepository, manifest: CheckpointManifest, target: Path, *, zero: int, progress: Progress
) -> None:
    """Write a checkpoint of a run to the new tag `target`, with its optimizer, for an engine of the stage `zero`.

    It passes through memory. Raises CheckpointError when it is not of a whole model; the tag is whole or not there.
    """
    where = repository.uri(manifest.step)
    if target.exists():
        raise CheckpointError(f"{target}: exists already", "give a directory that does not exist yet")
    if manifest.model is None or manifest.adapter is not None or manifest.data_order is None:
        what = "an adapter" if manifest.adapter is not None else "no optimizer"
        raise CheckpointError(f"{where}: holds {what}", "export it as a Hugging Face directory, without --zero")
    config = family_of(manifest.model, where).from_hugging_face(manifest.model, where)
    state = {name: _empty(shape) for name, shape in _state(config).items()}
    count = len(manifest.files)

    def told() -> Iterator[tuple[str, memoryview]]:
        for number, content in enumerate(repository.contents(manifest.step, manifest.files)):
            progress("read the checkpoint", number, count)
            yield content
        progress("read the checkpoint", count, count)

    fill(state, told())
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        write(partial, {name: shard.tensor for name, shard in state.items()}, config, zero=zero)
        write_json(partial / CONFIG_NAME, manifest.model)
        partial.chmod(0o755)  # mkdtemp makes it private
        partial.rename(target)
    except BaseException:  # Ctrl-C too: half a tag is not left behind
        shutil.rmtree(partial, ignore_errors=True)
        raise
    (target.parent / "latest_universal").write_text(target.name, encoding="utf-8")


def _state(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """What `write` takes, with shapes."""
    shapes = config.tensors()
    moments = {f"optimizer.{kind}.{name}": shape for kind in _MOMENTS for name, shape in shapes.items()}
    return {**shapes, **moments, **{f"optimizer.step.{name}": () for name in shapes}}


def _empty(shape: tuple[int, ...]) -> LogicalShard:
    return LogicalShard(tensor=torch.empty(shape), global_shape=shape, offset=(0,) * len(shape))


def _whole(source: Path, config: DecoderConfig, name: str, kind: str, shape: tuple[int, ...]) -> Tensor:
    """The logical tensor `name`, or its moments."""
    folder, expert = _home(source, config, name)
    path, size = folder / f"{kind}.pt", math.prod(shape)
    held = _load(path)
    tensor: Tensor = held["param"] if isinstance(held, dict) else held
    if expert is not None:
        tensor = tensor.flatten()[expert * size : (expert + 1) * size]
    if tensor.shape != shape and (tensor.dim() != 1 or len(tensor) != size):
        raise CheckpointError(f"{path}: has shape {tuple(tensor.shape)}, the model has {shape}", _AGAIN)
    return tensor.view(shape)


def _step(source: Path, config: DecoderConfig, name: str) -> Tensor:
    """After how many updates of `name` it was saved."""
    own, shared = _home(source, config, name)[0] / "step.pt", source / "zero" / "optimizer_state.pt"
    try:
        step = _load(own) if own.is_file() else _load(shared)["optimizer_state_dict"]["state"][0]["step"]
    except (KeyError, TypeError) as missing:
        raise CheckpointError(f"{shared}: does not say after how many steps it was saved", _AGAIN) from missing
    return torch.as_tensor(step).float()


def _home(source: Path, config: DecoderConfig, name: str) -> tuple[Path, int | None]:
    """The folder of the logical tensor `name`, and which expert of what lies there it is."""
    own, stacked = source / "zero" / name, SHARDING[config.family].stacked(name)
    return (own, None) if stacked is None or own.is_dir() else (source / "zero" / stacked[0], stacked[1])


class _Opaque:
    """What DeepSpeed pickles beside tensors, and nobody here looks at: code of a checkpoint is not run."""

    def __init__(self, *state: object) -> None: ...


def _load(path: Path) -> Any:
    try:
        with safe_globals([(_Opaque, name) for name in get_unsafe_globals_in_checkpoint(path)]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError as missing:
        raise CheckpointError(f"{path}: missing, or not of this model", _AGAIN) from missing
    except Exception as damaged:  # what an unpickler raises depends on which byte is wrong
        raise CheckpointError(f"{path}: damaged, or more than tensors", _AGAIN) from damaged
