"""A model as Hugging Face keeps it: a directory of safetensors, an index, `config.json` and what goes with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paceline.checkpoint.safetensors_file import TensorEntry, TensorFile
from paceline.models.config import DecoderConfig
from paceline.models.families import FAMILIES
from paceline.spec.documents import nearest
from paceline.spec.errors import CheckpointError, Problem

CONFIG_NAME = "config.json"
INDEX_NAME = "model.safetensors.index.json"
# what may lie beside the weights, and goes where they go
COMPANIONS = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
_DAMAGED = "fetch the model again"


@dataclass(frozen=True, kw_only=True, slots=True)
class HuggingFaceModel:
    """A directory that was found complete: `document` is its `config.json`, `files` hold `config.tensors()`."""

    directory: Path
    document: dict[str, Any]
    config: DecoderConfig
    files: tuple[TensorFile, ...]

    @property
    def companions(self) -> list[Path]:
        return [path for name in COMPANIONS if (path := self.directory / name).is_file()]


def family_of(document: Mapping[str, Any], source: str) -> type[DecoderConfig]:
    """The configuration class for a `config.json`; CheckpointError when the family is not known."""
    kind = str(document.get("model_type"))
    if kind not in FAMILIES:
        known = ", ".join(FAMILIES)
        hint = nearest(kind, list(FAMILIES)) or f"paceline trains {known}"
        raise CheckpointError(f"{source}: model_type `{kind}` is not a family that paceline knows", hint)
    return FAMILIES[kind]


def read(directory: Path) -> HuggingFaceModel:
    """Open a model and check that its tensors are those of its `config.json`.

    Raises CheckpointError with everything that is wrong. Tensors are looked at, not read.
    """
    document = _document(directory / CONFIG_NAME)
    config = family_of(document, str(directory / CONFIG_NAME)).from_hugging_face(document, str(directory / CONFIG_NAME))
    files = tuple(TensorFile.open(path) for path in _weight_files(directory))
    found = {name: entry for file in files for name, entry in file.entries.items() if belongs(name, config)}
    if problems := list(_differences(found, config, directory)):
        raise CheckpointError.of(problems)
    return HuggingFaceModel(directory=directory, document=document, config=config, files=files)


def belongs(name: str, config: DecoderConfig) -> bool:
    """Whether a tensor of a file is one of the model's: not a table of rotary angles, which old files have, and not
    the head when it is tied to the embedding."""
    return not name.endswith("rotary_emb.inv_freq") and not (name == "lm_head.weight" and config.tie_word_embeddings)


def create_weights(directory: Path, config: DecoderConfig, dtype: str, largest: int) -> dict[str, TensorFile]:
    """Make the files of a model, filled with zeros, and their index; by tensor, the file that holds it.

    No file has more than `largest` bytes of tensors, unless one tensor is larger.
    """
    groups: list[dict[str, TensorEntry]] = [{}]
    room = largest
    for tensor, shape in config.tensors().items():
        entry = TensorEntry(dtype=dtype, shape=shape)
        if groups[-1] and entry.bytes > room:
            groups.append({})
            room = largest
        groups[-1][tensor] = entry
        room -= entry.bytes
    names = [f"model-{number:05d}-of-{len(groups):05d}.safetensors" for number in range(1, len(groups) + 1)]
    if len(groups) == 1:
        names = ["model.safetensors"]
    else:
        total = sum(entry.bytes for group in groups for entry in group.values())
        weight_map = {tensor: name for name, group in zip(names, groups, strict=True) for tensor in group}
        write_json(directory / INDEX_NAME, {"metadata": {"total_size": total}, "weight_map": weight_map})
    files = [TensorFile.create(directory / name, group) for name, group in zip(names, groups, strict=True)]
    return {tensor: file for file in files for tensor in file.entries}


def stored_type(document: Mapping[str, Any]) -> str:
    """The type that a `config.json` says its weights have, by the name torch gives it."""
    return str(document.get("dtype") or document.get("torch_dtype") or "float32")


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ValueError("not a mapping")
    except FileNotFoundError as cause:
        raise CheckpointError(f"{path}: missing", "give the directory of a Hugging Face model") from cause
    except (OSError, ValueError) as cause:
        raise CheckpointError(f"{path}: cannot be read: {cause}", _DAMAGED) from cause
    return document


def _weight_files(directory: Path) -> list[Path]:
    """In the order of their names."""
    if (directory / INDEX_NAME).is_file():
        weight_map = _document(directory / INDEX_NAME).get("weight_map")
        if not isinstance(weight_map, dict):
            raise CheckpointError(f"{directory / INDEX_NAME}: weight_map: missing", _DAMAGED)
        return [directory / name for name in sorted(set(map(str, weight_map.values())))]
    if not (single := directory / "model.safetensors").is_file():
        raise CheckpointError(
            f"{directory}: neither model.safetensors nor {INDEX_NAME}", "save the model as safetensors first"
        )
    return [single]


def _differences(found: Mapping[str, TensorEntry], config: DecoderConfig, directory: Path) -> Iterator[Problem]:
    expected = config.tensors()
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    for what, names in (("missing", missing), ("not of this model", unknown)):
        if names:
            others = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield Problem(message=f"{directory}: {', '.join(names[:3])}{others}: {what}", hint=_DAMAGED)
    for name, entry in found.items():
        if name in expected and entry.shape != expected[name]:
            message = f"{directory}: {name}: has shape {entry.shape}, {CONFIG_NAME} asks for {expected[name]}"
            yield Problem(message=message, hint=_DAMAGED)
