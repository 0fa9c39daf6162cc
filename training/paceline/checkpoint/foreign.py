"""A tag of another library's checkpoints, with the model's `config.json` in it, as a Hugging Face directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from paceline.checkpoint.convert import Progress
from paceline.checkpoint.dtypes import FLOATS
from paceline.checkpoint.huggingface import CONFIG_NAME, create_weights, family_of, write_json
from paceline.models.config import DecoderConfig
from paceline.spec.errors import CheckpointError

Tensors = dict[str, Tensor]
"""Parameters by name, and of an optimizer `optimizer.<kind>.<name>`."""


def convert(
    source: Path,
    directory: Path,
    read: Callable[[Path, DecoderConfig], Tensors],
    *,
    largest_file: int,
    progress: Progress,
) -> None:
    """Write the model that `read` finds in the tag `source` to the existing `directory`, in float32.

    Raises CheckpointError when it is not whole, or not of the model that the configuration describes.
    """
    document = _document(source)
    config = family_of(document, str(source)).from_hugging_face(document, str(source))
    tensors = {name: t for name, t in read(source, config).items() if not name.startswith("optimizer.")}
    homes = create_weights(directory, config, FLOATS["float32"], largest_file)
    for number, (name, tensor) in enumerate(tensors.items()):
        progress("convert the weights", number, len(tensors))
        homes[name].array(name)[...] = tensor.float().numpy()
    progress("convert the weights", len(tensors), len(tensors))
    for file in set(homes.values()):
        file.flush()
    write_json(directory / CONFIG_NAME, dict(document) | {"torch_dtype": "float32"})


def _document(source: Path) -> dict[str, Any]:
    path = source / CONFIG_NAME
    if not path.is_file():
        raise CheckpointError(f"{path}: missing", "put the config.json of the model into the directory of the tag")
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
