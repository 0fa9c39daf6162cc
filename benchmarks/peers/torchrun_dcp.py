"""The peer: one rank under torchrun that trains with paceline's engine and saves with torch.distributed.checkpoint.

    torchrun ... -m benchmarks.peers.torchrun_dcp JOB_FILE DIRECTORY MODE EVERY [--stock]

It writes the events that paceline's own loop writes, so that both are read and measured alike. Its ranks meet in a
store of their own per attempt: the store of the agent outlives the attempts, without a prefix, and in torch 2.13 a
restarted gloo worker may find the addresses of the dead there. `--stock` first opens a group there nevertheless.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from benchmarks.peers.dcp import Saver
from paceline.data.index import TokenDataset
from paceline.data.loader import Loader
from paceline.data.order import SampleOrder
from paceline.engines.base import Engine, RankContext, Rendezvous
from paceline.engines.registry import create
from paceline.journal.writer import Journal
from paceline.recipe.schema import Recipe
from paceline.spec.events import StepFinished
from paceline.spec.job import JobSpec
from paceline.supervise.process import die_with_parent
from paceline.train.schedule import learning_rate

RANK, WORLD_SIZE = (int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE"))
ATTEMPT = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def meet() -> Rendezvous:
    """Rank 0 opens a port and tells it to the others through the agent's store, under the attempt's number."""
    agent = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    store = PrefixStore(f"attempt-{ATTEMPT}", agent)
    if RANK == 0:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        store.set("port", str(port))
        return Rendezvous(host="127.0.0.1", port=port, listen_fd=listener.detach())
    return Rendezvous(host="127.0.0.1", port=int(store.get("port")))


def train(engine: Engine, recipe: Recipe, job: JobSpec, saver: Saver) -> None:
    """The steps from where the newest checkpoint left off; the work of paceline's loop without its memory tier."""
    journal = Journal(Path(job.journal), run=job.run, producer=f"rank-{RANK}", node="node-0", rank=RANK)
    journal.generation = ATTEMPT
    layout = engine.plan(recipe, WORLD_SIZE)
    data = TokenDataset.open(
        Path(urlsplit(job.dataset).path), sequence_length=recipe.data.sequence_length, verify=False
    )
    order = SampleOrder(seed=recipe.data.seed, num_samples=data.num_windows)
    with Loader(
        data,
        order,
        sequences_per_step=recipe.sequences_per_step,
        rank=RANK,
        world_size=WORLD_SIZE,
        micro_sequences=layout.micro_sequences,
    ) as loader:
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
            started = finished
    saver.close()


def main(job_file: str, directory: str, mode: str, every: str, *options: str) -> None:
    die_with_parent(os.getppid())
    (Path(directory) / f"rank-{RANK}.pid").write_text(str(os.getpid()), encoding="utf-8")
    job = JobSpec.model_validate_json(Path(job_file).read_text(encoding="utf-8"))
    recipe = Recipe.model_validate(job.recipe)
    if "--stock" in options:
        dist.init_process_group("gloo")
        dist.barrier()
        dist.destroy_process_group()
    engine = create(recipe.engine)
    context = RankContext(rank=RANK, world_size=WORLD_SIZE, generation=ATTEMPT, rendezvous=meet())
    engine.setup(recipe, job.vocabulary, context)
    engine.build(initialise=True)
    train(engine, recipe, job, Saver(engine.state(), Path(directory) / "dcp", mode, int(every)))
    engine.teardown()


if __name__ == "__main__":  # a checkpointing process imports this file again
    main(*sys.argv[1:])
