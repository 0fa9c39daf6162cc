"""How fast batches can be read, and what it costs to resume in the middle of ten trillion tokens.

    python -m benchmarks.data [--repeat N] [--save]

Nothing trains here: the rate is what a loader could feed. Ours hashes every sample for the ledger besides.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.common import peer_environment
from benchmarks.common.command import Say, command
from benchmarks.common.jobs import dataset, workspace
from benchmarks.common.report import SPREAD, Report, Table, spread
from paceline.data.index import TokenDataset
from paceline.data.loader import Loader
from paceline.data.mixture import order_of
from paceline.spec.manifest import MANIFEST_NAME, DatasetManifest, FileRecord, TokenShard

LENGTH, SEQUENCES, STEPS = 2048, 16, 40
WORKERS = 2
PEERS = {
    "datasets + DataLoader": "benchmarks.peers.hf_datasets",
    "torchtitan": "benchmarks.peers.torchtitan_loader",
}
PEER_SECONDS = 600.0

HUGE_TOKENS = 10**13
SHARD_TOKENS = 4 * 10**9  # 16 GB: the manifest is read whole, and must stay small
HUGE_LENGTH, HUGE_SEQUENCES = 8192, 2048  # a global batch of 16 million tokens
RANKS = 1024
GOAL_MILLISECONDS, GOAL_MEGABYTES = 50, 50


def our_rate(directory: Path) -> float:
    """Tokens per second of one rank's loader, waiting for every step."""
    tokens = TokenDataset.open(directory, sequence_length=LENGTH, verify=False)
    with Loader(
        tokens, order_of(tokens, 0), sequences_per_step=SEQUENCES, rank=0, world_size=1, micro_sequences=SEQUENCES
    ) as loader:
        loader.step(0)
        started = time.perf_counter()
        for step in range(1, STEPS + 1):
            loader.step(step)
        return STEPS * SEQUENCES * LENGTH / (time.perf_counter() - started)


def rate_in_processes(directory: Path) -> float:
    """Tokens per second of WORKERS loaders at once, together, each in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        return sum(pool.map(our_rate, [directory] * WORKERS))


def rate_in_threads(directory: Path) -> float:
    """The same in threads of this process."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return sum(pool.map(our_rate, [directory] * WORKERS))


def huge(directory: Path) -> Path:
    """A dataset of HUGE_TOKENS tokens that takes no room: all its shards are links to one file of holes."""
    directory.mkdir()
    with (directory / "hole.bin").open("wb") as file:
        file.truncate(SHARD_TOKENS * 4)
    shards = []
    for number in range(HUGE_TOKENS // SHARD_TOKENS):
        name = f"tokens-{number:05d}.bin"
        os.link(directory / "hole.bin", directory / name)
        shards.append(TokenShard(name=name, bytes=4 * SHARD_TOKENS, sha256="0" * 64, tokens=SHARD_TOKENS, documents=1))
    manifest = DatasetManifest(
        name="huge",
        created=datetime.now(UTC),
        source="holes",
        documents=len(shards),
        characters=0,
        tokens=HUGE_TOKENS,
        token_bytes=4,
        vocabulary=1 << 17,
        unigram_entropy=0.0,
        tokenizer=FileRecord(name="tokenizer.json", bytes=0, sha256="0" * 64),
        shards=tuple(shards),
    )
    (directory / MANIFEST_NAME).write_text(manifest.model_dump_json(), encoding="utf-8")
    return directory


def resume(directory: Path) -> dict[str, float]:
    """In a process of its own: open the dataset, and give the batch of one of RANKS ranks at its middle."""
    before = _resident_bytes()
    started = time.perf_counter()
    tokens = TokenDataset.open(directory, sequence_length=HUGE_LENGTH, verify=False)
    opened = time.perf_counter()
    order = order_of(tokens, 0)
    middle = tokens.num_windows // 2 // HUGE_SEQUENCES
    with Loader(
        tokens,
        order,
        sequences_per_step=HUGE_SEQUENCES,
        rank=RANKS // 2,
        world_size=RANKS,
        micro_sequences=HUGE_SEQUENCES // RANKS,
    ) as loader:
        batch = loader.step(middle)
        done = time.perf_counter()
        after = _resident_bytes()
    assert batch.first_index == middle * HUGE_SEQUENCES
    return {
        "open the dataset, ms": 1000 * (opened - started),
        "position, and the first batch, ms": 1000 * (done - opened),
        "both, ms": 1000 * (done - started),
        "memory for both, MB": (after - before) / 1e6,
        "peak memory of the process, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def resumed(directory: Path) -> dict[str, float]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(resume, (directory,))


def measure(repeat: int, say: Say) -> Report:
    """All repetitions, ours and the peer taking turns."""
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    with workspace() as directory:
        say("prepare the data")
        data, endless = dataset(directory), huge(directory / "huge")
        interpreter = peer_environment.python("training", say)
        for number in range(repeat):
            say(f"{number + 1} of {repeat}: loaders")
            note("paceline, 1 loader, tokens/s", our_rate(data))
            note(f"paceline, {WORKERS} loaders in {WORKERS} threads, tokens/s", rate_in_threads(data))
            note(f"paceline, {WORKERS} loaders in {WORKERS} processes, tokens/s", rate_in_processes(data))
            for name, module in PEERS.items():
                for workers in (0, WORKERS):
                    arguments = [str(data), *map(str, (LENGTH, SEQUENCES, STEPS, workers))]
                    answer = peer_environment.run(interpreter, module, arguments, seconds=PEER_SECONDS)
                    note(f"{name}, {workers} workers, tokens/s", float(answer.split()[-1]))
            say(f"{number + 1} of {repeat}: resume")
            for name, value in resumed(endless).items():
                note(f"resume: {name}", value)
    digits = {name: 0 if name.endswith("tokens/s") else 1 for name in found}
    return Report(
        title="Reading data",
        table=Table(
            columns=(f"figure (n = {repeat})", *SPREAD),
            rows=tuple((name, *spread(values, digits[name])) for name, values in found.items()),
        ),
        notes=(
            f"Loaders: the tokens of the demo in windows of {LENGTH}, {SEQUENCES} in a step, {STEPS} steps, from the"
            " page cache. paceline's also computes the ledger's digest of every sample. `datasets` reads the same"
            " windows from Arrow, shuffled by `Dataset.shuffle`; PyTorch's DataLoader collates them.",
            f"Resume: {HUGE_TOKENS:.0e} tokens in {HUGE_TOKENS // SHARD_TOKENS:,} shards, windows of {HUGE_LENGTH},"
            f" rank {RANKS // 2} of {RANKS}, at the middle of the first epoch. The shards are links to one file of"
            f" holes, so no disk is waited for. Goal: at most {GOAL_MILLISECONDS} ms and {GOAL_MEGABYTES} MB.",
            "torchtitan's loader reads the same documents with the same tokenizer, which it runs while it is read; its"
            " rate holds that. Workers are processes of the DataLoader.",
        ),
    )


if __name__ == "__main__":
    sys.exit(command("data", __doc__, measure, repeat=3))
