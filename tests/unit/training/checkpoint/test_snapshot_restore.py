from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.checkpoint.restore import fill
from paceline.checkpoint.segment import Segment, SegmentHeader
from paceline.checkpoint.snapshot import Snapshotter
from paceline.engines.base import LogicalShard
from paceline.spec.errors import CheckpointError
from paceline.spec.manifest import TrainerState

Deal = Callable[[torch.Tensor, int, int], LogicalShard]
TRAINER = TrainerState(step=1, tokens=1, next_index=1, ledger="0" * 64)


def rows(whole: torch.Tensor, world: int, rank: int) -> LogicalShard:
    """The rows of `rank` when dealt in equal chunks, as FSDP2 does."""
    chunk = -(-whole.shape[0] // world)
    first = min(rank * chunk, whole.shape[0])
    part = whole[first : first + chunk].clone()
    return LogicalShard(tensor=part, global_shape=tuple(whole.shape), offset=(first, *[0] * (whole.dim() - 1)))


def run(whole: torch.Tensor, world: int, rank: int) -> LogicalShard:
    """The elements of `rank` when dealt in equal runs, as ZeRO does."""
    chunk = -(-whole.numel() // world)
    first = min(rank * chunk, whole.numel())
    part = whole.flatten()[first : first + chunk].clone()
    return LogicalShard(tensor=part, global_shape=tuple(whole.shape), offset=(first,))


DEALT = st.sampled_from([rows, run])


def scalar(value: float) -> LogicalShard:
    return LogicalShard(tensor=torch.tensor(value), global_shape=(), offset=())


def snapshot_of(state: dict[str, LogicalShard]) -> memoryview:
    """The shard file that a snapshot of `state` gives."""
    segments = (Segment.create("a"), Segment.create("b"))
    seen: list[tuple[int, SegmentHeader]] = []
    snapshots = Snapshotter(
        lambda: state,
        segments,
        generation=0,
        rank=0,
        world_size=1,
        next_segment=1,
        ready=lambda index, header, seconds, persist: seen.append((index, header)),
    )
    snapshots.begin(TRAINER, persist=False)
    snapshots.wait()
    snapshots.close()
    index, header = seen[0]
    assert index == 1 and segments[1].is_whole()
    return segments[1].body(header.body_bytes)


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), DEALT, DEALT)
def test_any_layout_restores_into_any_other(
    height: int, width: int, old_world: int, new_world: int, old: Deal, new: Deal
) -> None:
    whole = torch.randn(height, width)
    files = [
        (f"rank {rank}", snapshot_of({"w": old(whole, old_world, rank), "n": scalar(3.0)})) for rank in range(old_world)
    ]
    for rank in range(new_world):
        expected = new(whole, new_world, rank)
        state = {
            "w": LogicalShard(
                tensor=torch.full_like(expected.tensor, torch.nan),
                global_shape=expected.global_shape,
                offset=expected.offset,
            ),
            "n": scalar(0.0),
        }
        fill(state, files)
        assert torch.equal(state["w"].tensor, expected.tensor)
        assert state["n"].tensor.item() == 3.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_bits_survive(dtype: torch.dtype) -> None:
    tensor = torch.randn(5, 3).mul(10).to(dtype)
    live = LogicalShard(tensor=torch.zeros_like(tensor), global_shape=(5, 3), offset=(0, 0))
    fill({"t": live}, [("f", snapshot_of({"t": rows(tensor, 1, 0)}))])
    assert torch.equal(live.tensor, tensor)


def test_a_missing_part_is_named() -> None:
    whole = torch.randn(4, 2)
    only_half = [("rank 0", snapshot_of({"w": rows(whole, 2, 0)}))]
    with pytest.raises(CheckpointError, match=r"w: the checkpoint holds 4 of the 8 elements"):
        fill({"w": rows(whole, 1, 0)}, only_half)


def test_another_model_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"w: the checkpoint holds shape \(4, 2\), the model has \(4, 3\)"):
        fill({"w": rows(torch.zeros(4, 3), 1, 0)}, [("f", snapshot_of({"w": rows(torch.zeros(4, 2), 1, 0)}))])


def test_snapshots_take_turns() -> None:
    segments = (Segment.create("a"), Segment.create("b"))
    turns: list[int] = []
    snapshots = Snapshotter(
        lambda: {"w": scalar(1.0)},
        segments,
        generation=0,
        rank=0,
        world_size=1,
        next_segment=0,
        ready=lambda index, header, seconds, persist: turns.append(index),
    )
    for _ in range(3):
        snapshots.begin(TRAINER, persist=False)
    snapshots.wait()
    snapshots.close()
    assert turns == [0, 1, 0]
