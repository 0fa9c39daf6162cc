"""One rank of a trial run: the steps of a run on no data, from which Neuron's graphs are collected.

    python -m paceline.train.trial JOB_FILE RANK HOST PORT PARENT      (started by paceline.launch.trial only)

`neuron_parallel_compile` runs it with stubs in the place of devices, whose numbers mean nothing (aws-neuron-sdk,
pytorch-neuron-parallel-compile.rst). So it has no loop: nothing here could write a checkpoint, a ledger or a metric.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from paceline.data.ledger import WORDS
from paceline.engines.base import Engine, RankContext, Rendezvous
from paceline.engines.registry import create
from paceline.engines.rehearsal import Tokens
from paceline.recipe.schema import Recipe
from paceline.spec.job import JobSpec
from paceline.supervise.process import die_with_parent
from paceline.train.schedule import learning_rate

_FIRST_STEPS = 3


def trial(engine: Engine, job: JobSpec, context: RankContext) -> None:
    """Do with `engine` what a worker of `job` does: build, train, copy the state out, evaluate."""
    recipe = Recipe.model_validate(job.recipe)
    layout = engine.plan(recipe, context.world_size)
    engine.setup(recipe, job.vocabulary, context)
    try:
        engine.build(initialise=True)
        if job.base is not None:
            with engine.frozen():
                pass  # as it is: the values are not in the graphs
        zeros = torch.zeros(layout.micro_sequences, recipe.data.sequence_length, dtype=torch.int64)
        documents = zeros if recipe.data.document_mask else None
        passes = [Tokens(inputs=zeros, targets=zeros, documents=documents)] * layout.micro_steps
        for rate in _rates(recipe):
            out = engine.train_step(
                passes,
                learning_rate=rate,
                totals=np.zeros(WORDS + 1, dtype=np.int64),
                before_update=lambda: _copy_out(engine),
            )
            for metric in (out.loss, out.gradient_norm, *out.metrics.values()):
                metric.result()
        if recipe.evaluation.every:
            engine.eval_step(passes[0])
        engine.sync()
    finally:
        engine.teardown()


def _rates(recipe: Recipe) -> Iterator[float]:
    """Of the first steps and of the last: torch-xla makes a constant of a rate of 0, with which a schedule may end."""
    last = recipe.schedule.steps - 1
    for step in sorted({*range(min(_FIRST_STEPS, last + 1)), last}):
        yield learning_rate(recipe.schedule, recipe.optimizer.learning_rate, step)


def _copy_out(engine: Engine) -> None:
    """As for a snapshot."""
    for shard in engine.state().values():
        shard.tensor.cpu()


def main() -> None:
    """Entry of a rank's process; see the module's docstring."""
    job_file, rank, host, port, parent = sys.argv[1:]
    die_with_parent(int(parent))
    job = JobSpec.model_validate_json(Path(job_file).read_text(encoding="utf-8"))
    context = RankContext(
        rank=int(rank),
        world_size=job.world_size,
        generation=job.first_generation,
        rendezvous=Rendezvous(host=host, port=int(port)),
    )
    trial(create(str(job.recipe["engine"])), job, context)


if __name__ == "__main__":
    main()
