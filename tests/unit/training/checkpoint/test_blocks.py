"""Parts of files: what is read of them is verified, and no more is read than is needed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paceline.checkpoint import blocks, repository, restore, shard_file
from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.restore import fill_from
from paceline.checkpoint.snapshot import describe, tensor_at
from paceline.clients.object_store import DirectoryStore
from paceline.engines.base import LogicalShard
from paceline.spec.errors import CheckpointError
from paceline.spec.manifest import CheckpointFile, CheckpointManifest, TrainerState

State = dict[str, LogicalShard]
Deal = Callable[[torch.Tensor, int, int], LogicalShard]


def rows(whole: torch.Tensor, world: int, rank: int) -> LogicalShard:
    chunk = -(-whole.shape[0] // world)
    first = min(rank * chunk, whole.shape[0])
    part = whole[first : first + chunk].clone()
    return LogicalShard(tensor=part, global_shape=tuple(whole.shape), offset=(first, *[0] * (whole.dim() - 1)))


def columns(whole: torch.Tensor, world: int, rank: int) -> LogicalShard:
    turned = rows(whole.transpose(0, 1), world, rank)
    return LogicalShard(
        tensor=turned.tensor.transpose(0, 1).contiguous(),
        global_shape=tuple(whole.shape),
        offset=(0, turned.offset[0], *[0] * (whole.dim() - 2)),
    )


def run(whole: torch.Tensor, world: int, rank: int) -> LogicalShard:
    chunk = -(-whole.numel() // world)
    first = min(rank * chunk, whole.numel())
    part = whole.flatten()[first : first + chunk].clone()
    return LogicalShard(tensor=part, global_shape=tuple(whole.shape), offset=(first,))


DEALS = st.sampled_from([rows, columns, run])


class Counting(DirectoryStore):
    """A directory that knows how many bytes of shard files were read."""

    read = 0

    def _count(self, key: str, content: bytes) -> bytes:
        self.read += len(content) if "/rank-" in key else 0
        return content

    def get(self, key: str) -> bytes:
        return self._count(key, super().get(key))

    def get_range(self, key: str, first: int, stop: int) -> bytes:
        return self._count(key, super().get_range(key, first, stop))


def save(checkpoints: CheckpointRepository, states: list[State]) -> CheckpointManifest:
    files = []
    for rank, state in enumerate(states):
        layout = shard_file.plan(describe(name, shard) for name, shard in state.items())
        content = bytearray(layout.total_bytes)
        content[: len(layout.header)] = layout.header
        for shard, start in layout.shards:
            if shard.bytes:
                tensor_at(content, shard, start).copy_(state[shard.name].tensor)
        files.append(checkpoints.put_shard(1, rank, content, generation=0))
    manifest = CheckpointManifest(
        run="test",
        created=datetime(2026, 11, 21, tzinfo=UTC),
        step=1,
        recipe_sha256=None,
        image_digest=None,
        data_order=None,
        world_size=len(states),
        layout={},
        trainer=TrainerState(step=1, tokens=1, next_index=1, ledger="0" * 64),
        files=tuple(files),
    )
    checkpoints.commit(manifest)
    return manifest


def empty(state: State) -> State:
    return {
        name: LogicalShard(tensor=torch.zeros_like(s.tensor), global_shape=s.global_shape, offset=s.offset)
        for name, s in state.items()
    }


def equal(one: State, other: State) -> bool:
    return all(torch.equal(one[name].tensor, other[name].tensor) for name in one)


def small_blocks(patch: pytest.MonkeyPatch) -> None:
    for module in (blocks, repository, restore):
        patch.setattr(module, "BLOCK_BYTES", 64)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(1, 12), min_size=2, max_size=3),
    worlds=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    deals=st.tuples(DEALS, DEALS),
)
def test_any_layout_restores_into_any_other_from_the_blocks_that_it_needs(
    shape: list[int], worlds: tuple[int, int], deals: tuple[Deal, Deal], tmp_path: Path
) -> None:
    whole = torch.randn(*shape)
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        checkpoints = CheckpointRepository(DirectoryStore(tmp_path))
        manifest = save(checkpoints, [{"w": deals[0](whole, worlds[0], rank)} for rank in range(worlds[0])])
        for rank in range(worlds[1]):
            expected = {"w": deals[1](whole, worlds[1], rank)}
            live = empty(expected)
            fill_from(checkpoints, 1, manifest.files, live)
            assert equal(live, expected)


MODEL = {f"layer.{n}": torch.randn(2048, 512) for n in range(8)}
BYTES = sum(tensor.nbytes for tensor in MODEL.values())


def state(world: int, rank: int) -> State:
    return {name: rows(tensor, world, rank) for name, tensor in MODEL.items()}


@pytest.mark.parametrize(("old", "new"), [(2, 4), (4, 2), (3, 2), (2, 2)])
def test_all_ranks_together_read_little_more_than_the_state_once(
    old: int, new: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    store = Counting(tmp_path)
    checkpoints = CheckpointRepository(store)
    files = save(checkpoints, [state(old, rank) for rank in range(old)]).files
    for rank in range(new):
        live = empty(state(new, rank))
        fill_from(checkpoints, 1, sorted(files, key=lambda file, own=rank: file.rank != own), live)
        assert equal(live, state(new, rank))
    record_property("read", store.read / BYTES)
    # each rank reads the headers of the files that it looks into, and the blocks at both ends of each part
    assert BYTES <= store.read <= BYTES + new * (old + 2 * len(MODEL)) * blocks.BLOCK_BYTES // 2


@given(numbers=st.sets(st.integers(0, 300)), longest=st.integers(1, 90))
def test_requests_cover_every_block_once_and_are_not_too_long(numbers: set[int], longest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_LONGEST_RUN", longest)
        runs = list(blocks._runs(sorted(numbers)))
    assert [number for run in runs for number in range(*run)] == sorted(numbers)
    assert all(0 < stop - first <= longest for first, stop in runs)


def test_what_is_altered_is_refused_by_those_who_need_it_and_only_by_them(tmp_path: Path) -> None:
    checkpoints = CheckpointRepository(DirectoryStore(tmp_path))
    manifest = save(checkpoints, [state(1, 0)])
    [file] = tmp_path.glob("*/rank-*")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1  # the last row of the last tensor
    file.write_bytes(content)
    fill_from(checkpoints, 1, manifest.files, empty(state(4, 0)))
    with pytest.raises(CheckpointError, match=r"rank-00000.*: the block at byte \d+ is altered"):
        fill_from(checkpoints, 1, manifest.files, empty(state(4, 3)))
    file.write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match="truncated"):
        fill_from(checkpoints, 1, manifest.files, empty(state(4, 3)))
    file.unlink()
    with pytest.raises(CheckpointError, match="missing"):
        fill_from(checkpoints, 1, manifest.files, empty(state(4, 0)))


def test_hashes_that_are_not_those_of_the_manifest_are_refused(tmp_path: Path) -> None:
    checkpoints = CheckpointRepository(DirectoryStore(tmp_path))
    manifest = save(checkpoints, [state(1, 0)])
    [file] = tmp_path.glob("*/blocks-*")
    file.write_bytes(bytes(len(file.read_bytes())))
    with pytest.raises(CheckpointError, match=r"blocks-00000.*altered"):
        fill_from(checkpoints, 1, manifest.files, empty(state(4, 0)))
    with pytest.raises(CheckpointError, match=r"blocks-00000.*altered"):
        checkpoints.verify(1)


def test_a_checkpoint_of_version_1_is_read_whole(tmp_path: Path) -> None:
    store = Counting(tmp_path)
    checkpoints = CheckpointRepository(store)
    manifest = save(checkpoints, [state(1, 0)])
    text = manifest.model_dump(mode="json") | {"format_version": 1}
    for file in text["files"]:
        del file["blocks"]
    store.put("step-00000001/manifest.json", CheckpointManifest.model_validate(text).model_dump_json().encode())
    old = checkpoints.verify(1)
    assert isinstance(old.files[0], CheckpointFile) and old.files[0].blocks is None
    store.read = 0
    live = empty(state(4, 3))
    fill_from(checkpoints, 1, old.files, live)
    assert equal(live, state(4, 3)) and store.read == old.files[0].bytes
