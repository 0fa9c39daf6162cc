from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import deserialize

from paceline.checkpoint.shard_file import ITEM_BYTES, Shard, parse, plan
from paceline.spec.errors import CheckpointError

shapes = st.lists(st.integers(0, 5), max_size=3).map(tuple)


@st.composite
def shard_lists(draw: st.DrawFn) -> list[Shard]:
    names = draw(st.lists(st.text("abc.", min_size=1, max_size=6), unique=True, min_size=1, max_size=5))
    shards = []
    for name in names:
        shape = draw(shapes)
        offset = tuple(draw(st.integers(0, 9)) for _ in shape)
        whole = tuple(size + start for size, start in zip(shape, offset, strict=True))
        dtype = draw(st.sampled_from(sorted(ITEM_BYTES)))
        shards.append(Shard(name=name, dtype=dtype, shape=shape, global_shape=whole, offset=offset))
    return shards


@given(shard_lists())
def test_what_is_planned_is_parsed(shards: list[Shard]) -> None:
    layout = plan(shards)
    content = layout.header + bytes(layout.total_bytes - len(layout.header))
    assert parse(content, "file") == layout
    assert {shard.name for shard, _ in layout.shards} == {shard.name for shard in shards}


@given(shard_lists())
def test_the_safetensors_library_reads_it(shards: list[Shard]) -> None:
    layout = plan(shards)
    found = dict(deserialize(layout.header + bytes(layout.total_bytes - len(layout.header))))
    assert {name: tuple(entry["shape"]) for name, entry in found.items()} == {s.name: s.shape for s in shards}
    assert all(len(found[s.name]["data"]) == math.prod(s.shape) * ITEM_BYTES[s.dtype] for s in shards)


@given(shard_lists(), st.data())
def test_a_truncated_file_is_refused(shards: list[Shard], data: st.DataObject) -> None:
    layout = plan(shards)
    content = layout.header + bytes(layout.total_bytes - len(layout.header))
    if layout.total_bytes == len(layout.header):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
        short = len(content) < len(layout.header)
    else:
        content = content[: data.draw(st.integers(0, layout.total_bytes - 1))]
        short = True
    if short:
        with pytest.raises(CheckpointError, match="rank-0: not a shard file"):
            parse(content, "rank-0")


def test_other_safetensors_files_are_refused() -> None:
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    with pytest.raises(CheckpointError, match="not a shard file of a checkpoint"):
        parse(len(header).to_bytes(8, "little") + header + bytes(4), "foreign")
