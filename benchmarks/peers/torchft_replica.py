"""The peer: torchft. Two replica groups of one rank each; when one dies the other drops a step and goes on alone, and
the one that is started again takes the state from it.

    TORCHFT_LIGHTHOUSE=... REPLICA_GROUP_ID=... NUM_REPLICA_GROUPS=... torchrun ... \
        -m benchmarks.peers.torchft_replica JOB_FILE DIRECTORY

As torchft's example train_ddp.py: its DistributedDataParallel, Optimizer and ProcessGroupGloo. paceline's model and
data. A generation here is a change of the number of replicas that take part, once both had.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.peers.dcp_rank import DcpRank
from paceline.models.initialise import initialise
from paceline.models.layers import PlainLayers
from paceline.models.registry import blueprint
from paceline.spec.events import StepFinished
from paceline.supervise.process import die_with_parent
from paceline.train.schedule import learning_rate


def main(job_file: str, directory: str) -> None:
    die_with_parent(os.getppid())
    group, groups = int(os.environ["REPLICA_GROUP_ID"]), int(os.environ["NUM_REPLICA_GROUPS"])
    restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    rank = DcpRank(job_file, directory, "none", "1")
    rank.announce(group)
    recipe = rank.recipe
    torchft: Any = import_module("torchft")

    plan = blueprint(recipe.model, rank.job.vocabulary)
    model = plan.build(PlainLayers())
    for name, parameter in model.named_parameters():
        initialise(name, parameter.data, first_row=0, seed=recipe.seed, std=plan.initializer_range)
    chosen = recipe.optimizer
    adamw = torch.optim.AdamW(model.parameters(), betas=chosen.betas, weight_decay=chosen.weight_decay, fused=True)

    def load(state: dict[str, Any]) -> None:
        model.load_state_dict(state["model"])
        adamw.load_state_dict(state["optimizer"])

    manager = torchft.Manager(
        pg=torchft.ProcessGroupGloo(timeout=timedelta(seconds=5)),
        min_replica_size=1,
        load_state_dict=load,
        state_dict=lambda: {"model": model.state_dict(), "optimizer": adamw.state_dict()},
        replica_id=f"replica_{group}",
        timeout=timedelta(seconds=30),
    )
    parallel = torchft.DistributedDataParallel(manager, model)
    optimizer = torchft.Optimizer(manager, adamw)
    journal = rank.journal(group, restarts)
    tokens, participants = recipe.batch.tokens // groups, 0
    with rank.loader(group, groups, recipe.batch.micro_sequences) as loader:
        started = time.perf_counter()
        while (step := manager.current_step()) < recipe.schedule.steps:
            batch = loader.step(step)
            for values in adamw.param_groups:
                values["lr"] = learning_rate(recipe.schedule, chosen.learning_rate, step)
            optimizer.zero_grad()
            total = 0.0
            for number, part in enumerate(batch.microbatches, start=1):
                parallel.require_backward_grad_sync = number == len(batch.microbatches)
                logits = parallel(part.inputs).flatten(0, 1)
                loss = F.cross_entropy(logits, part.targets.flatten(), reduction="sum") / tokens
                torch.autograd.backward(loss)
                total += loss.item()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), chosen.gradient_clip)
            optimizer.step()
            finished = time.perf_counter()
            if manager.current_step() > step:  # otherwise a replica died in it: it is done again with other data
                present = manager.num_participants()
                if participants and present != participants:
                    journal.generation = (journal.generation or 0) + 1
                if present == groups or participants:
                    participants = present
                journal.emit(
                    StepFinished,
                    step=manager.current_step(),
                    loss=total,
                    tokens=tokens * present,
                    learning_rate=adamw.param_groups[0]["lr"],
                    gradient_norm=norm.item(),
                    seconds=finished - started,
                    data_seconds=0.0,
                    checkpoint_seconds=0.0,
                )
            started = finished
    manager.shutdown(wait=False)
    os._exit(0)  # its threads wait for a lighthouse


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
