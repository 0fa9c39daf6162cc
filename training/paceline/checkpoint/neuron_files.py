"""A checkpoint of NeuronX Distributed on disk, both ways, and its model as a Hugging Face directory.

    <tag>/checkpoint, <tag>/done                                             markers: begun, whole
    <tag>/model/dp_rank_00_tp_rank_TT_pp_rank_PP.pt                          one of the ranks that share a batch
    <tag>/optim/dp_rank_DD_tp_rank_TT_pp_rank_PP.pt                          all of them, with ZeRO-1

Source: neuronx_distributed 0.18, `trainer/checkpoint.py`. Files in parts (`use_xser`) are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paceline.checkpoint import foreign
from paceline.checkpoint.convert import Progress
from paceline.checkpoint.neuron import Form, Place, Tensors, deal, from_ranks, gather, infer, numbered, to_ranks
from paceline.models.config import DecoderConfig
from paceline.spec.errors import CheckpointError

_NAME = re.compile(r"dp_rank_(\d+)_tp_rank_(\d+)_pp_rank_(\d+)\.pt")
_MOMENTS = ("exp_avg", "exp_avg_sq")
_AGAIN = "take an older tag, or save this one again"


def convert(source: Path, directory: Path, *, largest_file: int, progress: Progress) -> None:
    """Write the model of the tag `source`, in which its `config.json` lies, to the existing `directory`, in float32."""
    foreign.convert(source, directory, read, largest_file=largest_file, progress=progress)


def read(source: Path, config: DecoderConfig) -> Tensors:
    """Parameters, and of an optimizer with ZeRO-1 `optimizer.<kind>.<name>`; parameters in float32 if it has those.

    Raises CheckpointError when a file, a tensor or the mark that it is whole is missing.
    """
    if not (source / "done").is_file():
        raise CheckpointError(f"{source}: was not saved to its end (there is no file `done`)", _AGAIN)
    try:
        ranks = {(pp, tp): _load(path) for (_, tp, pp), path in _files(source / "model").items()}
        form = infer(ranks, config)
        tensors = from_ranks(ranks, config, form)
        for kind, of_kind in _optimizer(source / "optim", ranks, config, form).items():
            prefix = "" if kind == "sharded_master_weights" else f"optimizer.{kind}."
            tensors |= {prefix + name: tensor for name, tensor in of_kind.items()}
    except KeyError as missing:
        raise CheckpointError(f"{source}: {missing.args[0]}: missing, or not of this model", _AGAIN) from missing
    expected = config.tensors()
    for name, tensor in tensors.items():
        shape = expected[re.sub(r"^optimizer\.[a-z_]+\.", "", name)]
        if tensor.shape != shape and tensor.dim():
            raise CheckpointError(f"{source}: {name}: has shape {tuple(tensor.shape)}, the model has {shape}", _AGAIN)
    return tensors


def write(target: Path, tensors: Mapping[str, Tensor], config: DecoderConfig, form: Form, *, dp: int) -> None:
    """Make the tag `target` of what `read` gives, for `dp` ranks with ZeRO-1."""
    for folder in ("model", "optim"):
        (target / folder).mkdir(parents=True)
    (target / "checkpoint").write_text("1")
    parameters = {name: tensor for name, tensor in tensors.items() if not name.startswith("optimizer.")}
    ranks = to_ranks(parameters, config, form)
    for place, held in ranks.items():
        torch.save(held, target / "model" / _name(0, place))
    if len(parameters) < len(tensors):
        _write_optimizer(target / "optim", tensors, parameters, ranks, config, form, dp)
    (target / "done").write_text("1")


def _write_optimizer(
    folder: Path,
    tensors: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    ranks: Mapping[Place, Tensors],
    config: DecoderConfig,
    form: Form,
    dp: int,
) -> None:
    steps = tensors[f"optimizer.step.{next(iter(parameters))}"]
    kinds = {
        kind: to_ranks({name: tensors[f"optimizer.{kind}.{name}"] for name in parameters}, config, form)
        for kind in _MOMENTS
    }
    for place, held in ranks.items():
        names = numbered(held)
        dealt = {kind: [deal(of_kind[place][name], dp) for name in names] for kind, of_kind in kinds.items()}
        masters = [deal(held[name].float(), dp) for name in names]
        for rank in range(dp):
            saved = {
                "base_state": {
                    number: {"step": steps} | {kind: chunks[number][rank] for kind, chunks in dealt.items()}
                    for number in range(len(names))
                },
                "shape_info": {number: held[name].shape for number, name in enumerate(names)},
                "sharded_master_weights": {number: chunks[rank] for number, chunks in enumerate(masters)},
            }
            torch.save(saved, folder / _name(rank, place))


def _optimizer(folder: Path, ranks: Mapping[Place, Tensors], config: DecoderConfig, form: Form) -> dict[str, Tensors]:
    """By kind the logical tensors of an optimizer, of what it holds; nothing without one."""
    files = _files(folder) if folder.is_dir() else {}
    if not files:
        return {}
    gathered: dict[str, dict[Place, Tensors]] = {}
    steps = torch.zeros(())
    for place, held in ranks.items():
        dealt = [_load(path) for (_, tp, pp), path in sorted(files.items()) if (pp, tp) == place]
        for number, name in enumerate(numbered(held)):
            shape = torch.Size(dealt[0]["shape_info"][number])
            chunks = {kind: [one["base_state"][number][kind] for one in dealt] for kind in _MOMENTS}
            if "sharded_master_weights" in dealt[0]:
                chunks["sharded_master_weights"] = [one["sharded_master_weights"][number] for one in dealt]
            steps = dealt[0]["base_state"][number]["step"]
            for kind, parts in chunks.items():
                gathered.setdefault(kind, {}).setdefault(place, {})[name] = gather(parts, shape)
    whole = {kind: from_ranks(of_kind, config, form) for kind, of_kind in gathered.items()}
    return whole | {"step": dict.fromkeys(config.tensors(), steps)}


def _files(folder: Path) -> dict[tuple[int, int, int], Path]:
    """The files of `folder` by (dp, tp, pp)."""
    found: dict[tuple[int, int, int], Path] = {}
    for path in folder.iterdir():
        if path.name.endswith(".tensors"):
            raise CheckpointError(f"{folder}: its tensors are files of their own", "save it with use_xser=False")
        if match := _NAME.fullmatch(path.name):
            dp, tp, pp = (int(number) for number in match.groups())
            found[dp, tp, pp] = path
    return found


def _load(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _name(dp: int, place: Place) -> str:
    pp, tp = place
    return f"dp_rank_{dp:02d}_tp_rank_{tp:02d}_pp_rank_{pp:02d}.pt"
