"""One rank that trains with paceline's engine and saves with torch.distributed.checkpoint, whoever restarts it.

It writes the events that paceline's own loop writes, so that both are read and measured alike.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]

from benchmarks.peers.dcp import Saver
from paceline.data.index import TokenDataset
from paceline.data.loader import Loader
from paceline.data.order import SampleOrder
from paceline.engines.base import RankContext, Rendezvous
from paceline.engines.registry import create
from paceline.journal.writer import Journal
from paceline.recipe.schema import Recipe
from paceline.spec.events import StepFinished
from paceline.spec.job import JobSpec
from paceline.train.schedule import learning_rate


class DcpRank:
    """What a rank of the job in `directory` does between two faults. `mode` and `every` are those of `Saver`."""

    def __init__(self, job_file: str, directory: str, mode: str, every: str) -> None:
        self.directory = Path(directory)
        self.job = JobSpec.model_validate_json(Path(job_file).read_text(encoding="utf-8"))
        self.recipe = Recipe.model_validate(self.job.recipe)
        self._mode, self._every = mode, int(every)

    def announce(self, rank: int) -> None:
        """Say which process is `rank`, for who is going to kill it."""
        (self.directory / f"rank-{rank}.pid").write_text(str(os.getpid()), encoding="utf-8")

    def journal(self, rank: int, generation: int) -> Journal:
        """Where this process writes; it is told apart from the one that it replaces."""
        producer = f"rank-{rank}-{os.getpid()}"
        journal = Journal(Path(self.job.journal), run=self.job.run, producer=producer, node="node-0", rank=rank)
        journal.generation = generation
        return journal

    def loader(self, rank: int, world_size: int, micro_sequences: int) -> Loader:
        """This rank's part of the data, the same as under paceline."""
        length, seed = self.recipe.data.sequence_length, self.recipe.data.seed
        data = TokenDataset.open(Path(urlsplit(self.job.dataset).path), sequence_length=length, verify=False)
        return Loader(
            data,
            SampleOrder(seed=seed, num_samples=data.num_windows),
            sequences_per_step=self.recipe.sequences_per_step,
            rank=rank,
            world_size=world_size,
            micro_sequences=micro_sequences,
        )

    def train(
        self,
        rendezvous: Rendezvous,
        *,
        rank: int,
        world_size: int,
        generation: int,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """The steps from where the newest checkpoint left off, the work of paceline's loop without its memory tier.

        `alive` is called after every step, for whoever wants a heartbeat.
        """
        recipe, journal = self.recipe, self.journal(rank, generation)
        engine = create(recipe.engine)
        context = RankContext(rank=rank, world_size=world_size, generation=generation, rendezvous=rendezvous)
        micro_sequences = engine.plan(recipe, world_size).micro_sequences
        with self.loader(rank, world_size, micro_sequences) as loader, contextlib.ExitStack() as stack:
            stack.callback(engine.teardown)
            engine.setup(recipe, self.job.vocabulary, context)
            engine.build(initialise=True)
            saver = Saver(engine.state(), self.directory / "dcp", self._mode, self._every)
            started = time.perf_counter()
            for step in range(saver.restore(), recipe.schedule.steps):
                batch = loader.step(step)
                data_seconds = time.perf_counter() - started
                rate = learning_rate(recipe.schedule, recipe.optimizer.learning_rate, step)
                out = engine.train_step(
                    batch.microbatches,
                    learning_rate=rate,
                    totals=np.zeros(1, dtype=np.int64),
                    before_update=saver.before_update,
                )
                loss, gradient_norm = out.loss.result(), out.gradient_norm.result()
                saver.after_step(step + 1)
                finished = time.perf_counter()
                journal.emit(
                    StepFinished,
                    step=step + 1,
                    loss=loss,
                    tokens=recipe.batch.tokens,
                    learning_rate=rate,
                    gradient_norm=gradient_norm,
                    seconds=finished - started,
                    data_seconds=data_seconds,
                    checkpoint_seconds=saver.take_stalled(),
                )
                alive()
                started = finished
            saver.close()


def meet(agent: Store, rank: int, generation: int) -> Rendezvous:
    """Rank 0 opens a port and tells it to the others through the `agent`'s store, under the generation's number."""
    store = PrefixStore(f"generation-{generation}", agent)
    if rank == 0:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        store.set("port", str(port))
        return Rendezvous(host="127.0.0.1", port=port, listen_fd=listener.detach())
    return Rendezvous(host="127.0.0.1", port=int(store.get("port")))
