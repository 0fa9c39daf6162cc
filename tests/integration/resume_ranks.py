"""The ranks of the resume matrix: four processes that go through all legs of all journeys. Run by
test_resume_matrix.py.

A leg is a part of a run: it is restored as a worker does it, trained by the real loop, and saved as a snapshot is.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import torch

from paceline.checkpoint.restore import fill
from paceline.checkpoint.segment import Segment, SegmentHeader
from paceline.checkpoint.snapshot import Snapshotter
from paceline.data.index import TokenDataset
from paceline.data.ledger import genesis
from paceline.data.loader import Loader
from paceline.data.order import SampleOrder
from paceline.engines.base import RankContext, Rendezvous
from paceline.engines.registry import create
from paceline.journal.reader import read
from paceline.journal.writer import Journal
from paceline.models import config
from paceline.recipe.schema import Recipe
from paceline.spec.events import StepFinished
from paceline.spec.manifest import TrainerState
from paceline.supervise.progress import Progress
from paceline.train.loop import TrainingLoop
from tests.integration.parity_cells import EXPERTS, SIZES

WORLD, STEPS, LENGTH, SEQUENCES = 4, 6, 16, 8
FSDP: dict[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class Leg:
    """Train to step `until` of `steps` on `ranks` ranks."""

    until: int
    ranks: int
    parallelism: dict[str, Any] = field(default_factory=dict)
    optimizer: str = "adamw"
    engine: str = "torch"
    steps: int = STEPS


def _legs(*worlds: tuple[int, dict[str, Any]], optimizer: str = "adamw") -> list[Leg]:
    """Legs that end after equally many steps each."""
    each = STEPS // len(worlds)
    return [
        Leg(until=each * n, ranks=ranks, parallelism=parallelism, optimizer=optimizer)
        for n, (ranks, parallelism) in enumerate(worlds, start=1)
    ]


TP: dict[str, Any] = {"tp": 2}
JOURNEYS: dict[str, tuple[str, list[Leg]]] = {
    "whole": ("llama", _legs((2, FSDP))),
    "same world": ("llama", _legs((2, FSDP), (2, FSDP))),
    "same world, twice": ("llama", _legs((2, FSDP), (2, FSDP), (2, FSDP))),
    "2 to 4": ("llama", _legs((2, FSDP), (4, FSDP))),
    "4 to 2": ("llama", _legs((4, FSDP), (2, FSDP))),
    "2 to 4 to 2": ("llama", _legs((2, FSDP), (4, FSDP), (2, FSDP))),
    "FSDP to TP": ("llama", _legs((2, FSDP), (2, TP))),
    "FSDP to TP to PP": ("llama", _legs((2, FSDP), (2, TP), (2, {"pp": 2}))),
    "whole, TP": ("llama", _legs((2, TP))),
    "same layout, TP": ("llama", _legs((2, TP), (2, TP))),
    "whole, Muon": ("llama", _legs((2, FSDP), optimizer="muon")),
    "same layout, Muon": ("llama", _legs((2, FSDP), (2, FSDP), optimizer="muon")),
    "1 to 2 to PP, Muon": ("llama", _legs((1, FSDP), (2, FSDP), (2, {"pp": 2}), optimizer="muon")),
    "whole, 8-bit": ("llama", _legs((2, FSDP), optimizer="adamw8bit")),
    "same layout, 8-bit": ("llama", _legs((2, FSDP), (2, FSDP), optimizer="adamw8bit")),
    "whole, experts": ("mixtral", _legs((2, FSDP))),
    "FSDP to EP x FSDP": ("mixtral", _legs((2, FSDP), (4, {"ep": 2}))),
    "EP to CP": ("mixtral", _legs((2, {"ep": 2}), (2, {"cp": 2}))),
}


class Alone:
    """A supervisor that lets the loop run to step `until`."""

    persist_every = None

    def __init__(self, start: int, until: int) -> None:
        self.progress = Progress(os.memfd_create("resume-progress"))
        self._done = start
        self._until = until

    @property
    def stop_requested(self) -> bool:
        return self._done + 1 >= self._until

    def wait_until_safe(self, step: int) -> None:
        pass

    def step_done(self, step: int, *, verified: int) -> None:
        self._done = step


def recipe(family: str, leg: Leg) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "resume",
            "description": "a warm-up, a decay and an epoch that ends in between",
            "engine": leg.engine,
            "model": {"family": family, "preset": "tiny"},
            "data": {"sequence_length": LENGTH, "seed": 3},
            "batch": {"tokens": SEQUENCES * LENGTH, "micro_sequences": 1},
            "parallelism": leg.parallelism,
            "optimizer": {"name": leg.optimizer, "learning_rate": 1e-2, "gradient_clip": 0.5},
            "schedule": {"steps": leg.steps, "warmup_steps": 2},
        }
    )


def travel(family: str, leg: Leg, start: int, context: RankContext, data: Path, directory: Path) -> None:
    chosen, rank = recipe(family, leg), context.rank
    dataset = TokenDataset.open(data, sequence_length=LENGTH, verify=False)
    order = SampleOrder(seed=chosen.data.seed, num_samples=dataset.num_windows)
    engine = create(leg.engine)
    layout = engine.plan(chosen, context.world_size)
    engine.setup(chosen, dataset.manifest.vocabulary, context)
    engine.build(initialise=start == 0)
    sha = dataset.manifest.dataset_sha256
    first = genesis(dataset_sha256=sha, seed=order.seed, sequence_length=LENGTH)
    trainer = TrainerState(step=0, tokens=0, next_index=0, ledger=first)
    if start:
        trainer = TrainerState.model_validate_json((directory / f"{start}.json").read_text(encoding="utf-8"))
        files = sorted(directory.glob(f"{start}-*.bin"), key=lambda file: file != directory / f"{start}-{rank}.bin")
        fill(engine.state(), ((file.name, memoryview(bytearray(file.read_bytes()))) for file in files))
    segments = (Segment.create("resume-0"), Segment.create("resume-1"))
    whole: list[tuple[int, SegmentHeader]] = []
    snapshots = Snapshotter(
        engine.state,
        segments,
        generation=0,
        rank=rank,
        world_size=context.world_size,
        next_segment=0,
        ready=lambda index, header, seconds, persist: whole.append((index, header)),
    )
    journal = Journal(directory / "journal", run="resume", producer=f"rank-{rank}-{start}", node="node-0", rank=rank)
    with Loader(
        dataset,
        order,
        sequences_per_step=chosen.sequences_per_step,
        rank=layout.data_rank(rank),
        world_size=layout.data_ranks,
        micro_sequences=layout.micro_sequences,
        witness=layout.is_witness(rank),
    ) as loader:
        loop = TrainingLoop(
            recipe=chosen,
            engine=engine,
            loader=loader,
            snapshots=snapshots,
            supervision=Alone(start, leg.until),
            journal=journal,
            rank=rank,
            speaks=rank == 0,
        )
        loop.run(trainer, from_memory=False)
    snapshots.close()
    journal.close()
    index, header = whole[-1]
    (directory / f"{leg.until}-{rank}.bin").write_bytes(segments[index].body(header.body_bytes))
    if rank == 0:
        saved = segments[index].trainer(header).model_dump_json()
        (directory / f"{leg.until}.json").write_text(saved, encoding="utf-8")
    engine.teardown()


def losses(directory: Path) -> list[float]:
    """Of all legs, in the order of steps."""
    return [
        e.loss
        for e in sorted(read(directory / "journal").events, key=lambda e: getattr(e, "step", 0) or 0)
        if isinstance(e, StepFinished)
    ]


def rank_process(rank: int, listeners: list[socket.socket], together: Barrier, data: str, output: str) -> None:
    torch.set_num_threads(1)
    number = 0
    for name, (family, legs) in JOURNEYS.items():
        directory, start = Path(output) / name, 0
        for leg in legs:
            together.wait()  # for what the last leg wrote
            listener, number = listeners[number], number + 1
            if rank < leg.ranks:
                port = listener.getsockname()[1]
                served = listener.detach() if rank == 0 else None
                meeting = Rendezvous(host="127.0.0.1", port=port, listen_fd=served)
                context = RankContext(rank=rank, world_size=leg.ranks, generation=number, rendezvous=meeting)
                travel(family, leg, start, context, Path(data), directory)
            start = leg.until


def main(data: str, output: str) -> None:
    """Ranks are forked from this process, which has imported torch but not used it."""
    tiny = {"llama": SIZES, "mixtral": SIZES | EXPERTS | {"num_local_experts": 4}}
    config._presets = lambda package: {"tiny": tiny[package.rpartition(".")[2]]}
    for name in JOURNEYS:
        (Path(output) / name / "journal").mkdir(parents=True)
    fork = multiprocessing.get_context("fork")
    listeners = [socket.create_server(("127.0.0.1", 0)) for _, legs in JOURNEYS.values() for _ in legs]
    together = fork.Barrier(WORLD)
    ranks = [
        fork.Process(target=rank_process, args=(r, listeners, together, data, output), daemon=True)
        for r in range(WORLD)
    ]
    for process in ranks:
        process.start()
    while alive := [process.sentinel for process in ranks if process.is_alive()]:
        wait(alive)
        if any(process.exitcode for process in ranks):
            sys.exit("a rank failed")  # the others, who wait for it, are ended with this process


if __name__ == "__main__":
    main(*sys.argv[1:])
