"""Ten thousand damaged checkpoints: none is accepted, the last good one is taken, whatever was done to the newest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import Random

import pytest

from paceline.checkpoint.repository import CheckpointRepository, blocks_name, step_folder
from paceline.spec.manifest import LATEST_NAME, MANIFEST_NAME, CheckpointManifest, TrainerState

MUTATIONS = 10_000
RANKS = 3
GOOD, NEWEST = 20, 40
Mutate = Callable[["Files", Random], None]


class Files:
    """An object store in memory over content that it never changes."""

    uri = "memory://checkpoints"

    def __init__(self, below: dict[str, bytes] | None = None) -> None:
        self._files = dict(below or {})

    def put(self, key: str, content: bytes) -> None:
        self._files[key] = bytes(content)

    def get(self, key: str) -> bytes:
        try:
            return self._files[key]
        except KeyError:
            raise FileNotFoundError(key) from None

    def get_range(self, key: str, first: int, stop: int) -> bytes:
        return self.get(key)[first:stop]

    def size(self, key: str) -> int:
        return len(self.get(key))

    def list(self, prefix: str = "") -> Iterator[str]:
        yield from sorted(key for key in self._files if key.startswith(prefix))

    def delete(self, key: str) -> None:
        del self._files[key]

    def snapshot(self) -> dict[str, bytes]:
        return dict(self._files)


def shard(rank: int) -> str:
    return f"{step_folder(NEWEST)}/rank-{rank:05d}.generation-0000.safetensors"


def blocks(rank: int) -> str:
    return f"{step_folder(NEWEST)}/{blocks_name(rank, 0)}"


def manifest(step: int) -> str:
    return f"{step_folder(step)}/{MANIFEST_NAME}"


def any_file(rng: Random) -> str:
    return rng.choice([manifest(NEWEST), *map(shard, range(RANKS)), *map(blocks, range(RANKS))])


def flip_a_bit_of_a_shard(files: Files, rng: Random) -> None:
    flip(files, shard(rng.randrange(RANKS)), rng)


def flip_a_bit_of_the_block_hashes(files: Files, rng: Random) -> None:
    flip(files, blocks(rng.randrange(RANKS)), rng)


def flip_a_bit_of_the_manifest(files: Files, rng: Random) -> None:
    flip(files, manifest(NEWEST), rng)


def flip(files: Files, key: str, rng: Random) -> None:
    content = bytearray(files.get(key))
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    files.put(key, bytes(content))


def truncate(files: Files, rng: Random) -> None:
    key = any_file(rng)
    content = files.get(key)
    files.put(key, content[: rng.randrange(len(content))])


def extend(files: Files, rng: Random) -> None:
    key = any_file(rng)
    tail = rng.choice([b"\n", b" ", b"\0", rng.randbytes(rng.randrange(1, 64))])
    files.put(key, files.get(key) + tail)


def remove(files: Files, rng: Random) -> None:
    files.delete(any_file(rng))


def swap_shards_of_two_ranks(files: Files, rng: Random) -> None:
    first, second = rng.sample(range(RANKS), 2)
    swap(files, shard(first), shard(second))


def take_a_shard_of_the_other_step(files: Files, rng: Random) -> None:
    key = shard(rng.randrange(RANKS))
    files.put(key, files.get(key.replace(step_folder(NEWEST), step_folder(GOOD))))


def copy_the_older_manifest(files: Files, rng: Random) -> None:
    """Also with the pointer gone, stale, or leading nowhere: it is a hint and no proof."""
    files.put(manifest(NEWEST), files.get(manifest(GOOD)))
    pointer = rng.choice([b"", b"{", f'{{"step":{NEWEST},"manifest":"step-99/manifest.json"}}'.encode()])
    files.put(LATEST_NAME, pointer)


def forge_the_older_manifest(files: Files, rng: Random) -> None:
    """The older manifest, with the newer step written over it: its shards are not those."""
    older = CheckpointManifest.from_file(files.get(manifest(GOOD)))
    files.put(manifest(NEWEST), older.model_copy(update={"step": NEWEST}).to_file())


def edit_the_manifest(files: Files, rng: Random) -> None:
    """A figure is changed by hand, and the seal is not."""
    content = files.get(manifest(NEWEST))
    digits = [at for at, byte in enumerate(content) if chr(byte).isdigit()]
    at = rng.choice(digits)
    other = rng.choice([d for d in b"0123456789" if d != content[at]])
    files.put(manifest(NEWEST), content[:at] + bytes([other]) + content[at + 1 :])


def tear(files: Files, rng: Random) -> None:
    """The second half of a shard was never written: it is there, and zero."""
    key = shard(rng.randrange(RANKS))
    content = files.get(key)
    half = rng.randrange(len(content))
    files.put(key, content[:half] + bytes(len(content) - half))


def swap(files: Files, first: str, second: str) -> None:
    contents = files.get(first), files.get(second)
    files.put(second, contents[0])
    files.put(first, contents[1])


KINDS: tuple[Mutate, ...] = (
    *(flip_a_bit_of_a_shard, flip_a_bit_of_the_block_hashes, flip_a_bit_of_the_manifest),
    *(truncate, extend, remove, tear),
    *(swap_shards_of_two_ranks, take_a_shard_of_the_other_step),
    *(copy_the_older_manifest, forge_the_older_manifest, edit_the_manifest),
)


@pytest.fixture(scope="module")
def good() -> dict[str, bytes]:
    """Two checkpoints of three ranks, and the pointer."""
    files, rng = Files(), Random(0)
    repository = CheckpointRepository(files)
    for step in (GOOD, NEWEST):
        trainer = TrainerState(step=step, tokens=step * 512, next_index=step * 8, ledger=rng.randbytes(32).hex())
        shards = tuple(repository.put_shard(step, rank, rng.randbytes(400), generation=0) for rank in range(RANKS))
        repository.commit(
            CheckpointManifest(
                run="mutations",
                created=datetime(2026, 11, 21, 12, step, tzinfo=UTC),
                step=step,
                recipe_sha256=rng.randbytes(32).hex(),
                image_digest=None,
                data_order=rng.randbytes(32).hex(),
                world_size=RANKS,
                layout={"dp_shard": RANKS},
                trainer=trainer,
                files=shards,
                model={"model_type": "llama", "rope_theta": 1.0e16, "tie_word_embeddings": True},
            )
        )
    return files.snapshot()


def test_no_mutated_checkpoint_is_accepted(good: dict[str, bytes], record_property: Callable[..., None]) -> None:
    rng, accepted = Random(1), Counter[str]()
    made = Counter[str]()
    for number in range(MUTATIONS):
        mutate = KINDS[number % len(KINDS)]
        files = Files(good)
        mutate(files, rng)
        if files.snapshot() == good:
            continue  # a tail that was zero before
        made[mutate.__name__] += 1
        told: list[int | None] = []
        newest = CheckpointRepository(files).newest(lambda step, uri, reason, told=told: told.append(step))
        assert newest is not None
        accepted[mutate.__name__] += newest.step != GOOD
        assert told == ([NEWEST] if manifest(NEWEST) in files.snapshot() else []), mutate.__name__
    record_property("mutations", dict(made))
    assert made.total() >= 0.99 * MUTATIONS
    assert +accepted == Counter()


def test_the_untouched_one_is_accepted(good: dict[str, bytes]) -> None:
    newest = CheckpointRepository(Files(good)).newest(lambda step, uri, reason: pytest.fail(reason))
    assert newest is not None and newest.step == NEWEST


def test_a_manifest_of_an_earlier_version_has_no_seal_and_is_read(good: dict[str, bytes]) -> None:
    files = Files(good)
    unsealed = CheckpointManifest.from_file(files.get(manifest(NEWEST)))
    files.put(manifest(NEWEST), unsealed.model_dump_json(indent=1, exclude={"seal"}).encode())
    newest = CheckpointRepository(files).newest(lambda step, uri, reason: pytest.fail(reason))
    assert newest == unsealed
