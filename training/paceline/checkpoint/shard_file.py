"""One rank's part of the training state as safetensors bytes: the one layout of every checkpoint tier.

A snapshot in memory, its replica on another node and the file in a bucket are the same bytes, so that persisting is
an upload and nothing is ever converted. The safetensors metadata key `paceline.shards` places each tensor in its
logical whole: {name: {"global_shape": [...], "offset": [...]}}, where an `offset` of one number in a tensor of more
dimensions is the first element of a run (engines/runs.py). Names are those of Hugging Face for parameters, with
the prefix `optimizer.<kind>.` for optimizer state. Format: https://huggingface.co/docs/safetensors (8-byte
little-endian header length, JSON header, raw little-endian tensors).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from paceline.engines.runs import Block, blocks
from paceline.spec.errors import CheckpointError

LENGTH_BYTES = 8
METADATA_KEY = "paceline.shards"
_ALIGNMENT = 64
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """A rank's part of a logical tensor: the block of `shape` elements that starts at `offset` of `global_shape`, or a
    run (paceline/engines/runs.py); may be empty."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    global_shape: tuple[int, ...]
    offset: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]

    def blocks(self) -> Iterator[Block]:
        """What it consists of: itself, or the blocks of a run."""
        return blocks(self.offset, self.shape, self.global_shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardFileLayout:
    """Where everything lies in one shard file: `header`, then each shard at [start, start + shard.bytes)."""

    header: bytes
    shards: tuple[tuple[Shard, int], ...]
    total_bytes: int


def plan(shards: Iterable[Shard]) -> ShardFileLayout:
    """The layout for `shards`, in the given order. The header depends on shapes only, never on values."""
    ordered = tuple(shards)
    entries: dict[str, object] = {}
    relative, position = [], 0
    for shard in ordered:
        relative.append(position)
        span = [position, position + shard.bytes]
        entries[shard.name] = {"dtype": shard.dtype, "shape": list(shard.shape), "data_offsets": span}
        position += shard.bytes
    places = {s.name: {"global_shape": list(s.global_shape), "offset": list(s.offset)} for s in ordered}
    metadata = {METADATA_KEY: json.dumps(places, separators=(",", ":"))}
    text = json.dumps({"__metadata__": metadata, **entries}, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % _ALIGNMENT)
    header = len(text).to_bytes(8, "little") + text
    placed = tuple((shard, len(header) + start) for shard, start in zip(ordered, relative, strict=True))
    return ShardFileLayout(header=header, shards=placed, total_bytes=len(header) + position)


def header_bytes(content: memoryview) -> int:
    """How long the header of a shard file says that it is, by its first LENGTH_BYTES."""
    return LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")


def parse(content: memoryview | bytes, source: str) -> ShardFileLayout:
    """The layout of an existing shard file; CheckpointError names `source` when it is short or not one of ours."""
    view = memoryview(content)
    try:
        body = header_bytes(view)
        if body > len(view):
            raise ValueError("shorter than its header")
        document = json.loads(bytes(view[LENGTH_BYTES:body]))
        places = json.loads(document.pop("__metadata__")[METADATA_KEY])
        shards, end = [], body
        for name, entry in document.items():
            start, stop = (body + offset for offset in entry["data_offsets"])
            shard = Shard(
                name=name,
                dtype=entry["dtype"],
                shape=tuple(entry["shape"]),
                global_shape=tuple(places[name]["global_shape"]),
                offset=tuple(places[name]["offset"]),
            )
            if stop - start != shard.bytes or stop > len(view):
                raise ValueError(f"{name} does not fit")
            shards.append((shard, start))
            end = max(end, stop)
    except (ValueError, KeyError, TypeError) as cause:
        raise CheckpointError(f"{source}: not a shard file of a checkpoint ({cause})", "take an older one") from cause
    return ShardFileLayout(header=bytes(view[:body]), shards=tuple(shards), total_bytes=end)
