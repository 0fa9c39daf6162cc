"""Files of safetensors, mapped into memory: only the tensors that are touched are read or written.

The format (https://huggingface.co/docs/safetensors) is a little-endian header length of 8 bytes, a JSON header, and
raw little-endian tensors. The library of that name is not used: its numpy side knows no bfloat16.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paceline.checkpoint.dtypes import NUMPY, Array
from paceline.checkpoint.shard_file import ITEM_BYTES
from paceline.spec.errors import CheckpointError

_ALIGNMENT = 64
_LARGEST_HEADER = 100_000_000  # the format's own limit


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorEntry:
    """One tensor: its type as the format names it, its shape, and where its bytes begin in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int = 0

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


class TensorFile:
    """A mapped file and what is in it."""

    def __init__(self, path: Path, entries: Mapping[str, TensorEntry], memory: mmap.mmap) -> None:
        self.path = path
        self.entries = entries
        self._memory = memory

    @classmethod
    def open(cls, path: Path) -> TensorFile:
        """An existing file, to read; CheckpointError when it is short or not of this format."""
        try:
            with path.open("rb") as file:
                memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            length = int.from_bytes(memory[:8], "little")
            if length > min(len(memory) - 8, _LARGEST_HEADER):
                raise ValueError("shorter than its header")
            document = json.loads(memory[8 : 8 + length])
            document.pop("__metadata__", None)
            entries = {}
            for name, entry in document.items():
                start, stop = (8 + length + offset for offset in entry["data_offsets"])
                if entry["dtype"] not in ITEM_BYTES:
                    raise ValueError(f"{name} is of type {entry['dtype']}")
                entries[name] = TensorEntry(dtype=entry["dtype"], shape=tuple(entry["shape"]), start=start)
                if stop - start != entries[name].bytes or stop > len(memory):
                    raise ValueError(f"{name} does not fit")
        except (OSError, ValueError, KeyError, TypeError) as cause:
            raise CheckpointError(f"{path}: cannot be read as safetensors: {cause}", "fetch the file again") from cause
        return cls(path, entries, memory)

    @classmethod
    def create(cls, path: Path, tensors: Mapping[str, TensorEntry]) -> TensorFile:
        """A new file with room for `tensors`, to write; it holds zeros."""
        document: dict[str, object] = {"__metadata__": {"format": "pt"}}
        position = 0
        for name, entry in tensors.items():
            span = [position, position + entry.bytes]
            document[name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": span}
            position = span[1]
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-(len(text) + 8) % _ALIGNMENT)
        header = len(text).to_bytes(8, "little") + text
        with path.open("xb+") as file:
            file.truncate(len(header) + position)
            memory = mmap.mmap(file.fileno(), len(header) + position)
        memory[: len(header)] = header
        entries, position = {}, len(header)
        for name, entry in tensors.items():
            entries[name] = TensorEntry(dtype=entry.dtype, shape=entry.shape, start=position)
            position += entry.bytes
        return cls(path, entries, memory)

    def array(self, name: str) -> Array:
        """The tensor itself, not a copy."""
        entry = self.entries[name]
        flat = np.frombuffer(self._memory, NUMPY[entry.dtype], count=math.prod(entry.shape), offset=entry.start)
        return flat.reshape(entry.shape)

    def flush(self) -> None:
        """Have what was written on disk."""
        self._memory.flush()
