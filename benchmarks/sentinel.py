"""What the corruption sentinel adds to a step, and to a run at the cadence that it then keeps.

    python -m benchmarks.sentinel [--repeat N] [--save]

One rank takes the same steps with and without it, by turns in one process, so that what else the machine does falls on
all of them alike. On a rank alone the sentinel costs most: others share the state, and not the work on their tokens.
"""

from __future__ import annotations

import socket
import statistics
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.common.command import Say, command
from benchmarks.common.jobs import RECIPE
from benchmarks.common.report import Report, Table
from paceline.engines.base import RankContext, Rendezvous, Watch
from paceline.engines.torch.engine import TorchEngine
from paceline.journal.units import size
from paceline.plan.cadence import steps_between
from paceline.recipe.load import load

VOCABULARY = 4096
WARM_UP = 3
ROUNDS = 6  # of one step of each kind, in one repetition
STEP_TOKENS = (2048, 8192)  # the recipe's; and for steps of seconds, as real ones are
KINDS = ("alone", "state checked", "state checked, work recomputed")


@dataclass(frozen=True)
class Pass:
    """Tokens that mean nothing: they take as long as any others."""

    inputs: torch.Tensor
    targets: torch.Tensor
    documents: torch.Tensor | None = None


def take(engine: TorchEngine, kind: str, passes: list[Pass]) -> float:
    """The seconds of one step, all that belongs to it done."""
    watch = None if kind == KINDS[0] else Watch(recompute=(passes,) if kind == KINDS[2] else ())
    started = time.perf_counter()
    out = engine.train_step(
        passes, learning_rate=1e-4, totals=np.zeros(1, dtype=np.int64), before_update=lambda: None, watch=watch
    )
    out.loss.result()
    if watch is not None:
        engine.seal()
    engine.sync()
    return time.perf_counter() - started


def sealed(engine: TorchEngine) -> float:
    """Seconds of a seal, half of a check."""
    started = time.perf_counter()
    engine.seal()
    engine.sync()
    return time.perf_counter() - started


def measure(repeat: int, say: Say) -> Report:
    """All repetitions, the kinds of steps taking turns."""
    recipe = load(RECIPE).recipe
    assert recipe.sentinel is not None
    torch.set_num_threads(1)
    engine = TorchEngine()
    listener = socket.create_server(("127.0.0.1", 0))
    meeting = Rendezvous(host="127.0.0.1", port=listener.getsockname()[1], listen_fd=listener.detach())
    engine.setup(recipe, VOCABULARY, RankContext(rank=0, world_size=1, generation=0, rendezvous=meeting))
    engine.build(initialise=True)
    engine.seal()
    shape = recipe.batch.micro_sequences, recipe.data.sequence_length
    inputs = torch.randint(0, VOCABULARY, shape)
    one = Pass(inputs, inputs)
    choice = recipe.sentinel
    for _ in range(WARM_UP):
        take(engine, KINDS[2], [one])
    rows: list[tuple[str, ...]] = []
    for tokens in STEP_TOKENS:
        passes = [one] * (tokens // inputs.numel())
        found: dict[str, list[float]] = {kind: [] for kind in KINDS}
        seals = []
        for number in range(repeat):
            say(f"{tokens} tokens a step: {number + 1} of {repeat}")
            seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
            for _ in range(ROUNDS):
                for kind in KINDS:
                    seals.append(sealed(engine))
                    seconds[kind].append(take(engine, kind, passes))
            for kind in KINDS:
                found[kind].append(statistics.median(seconds[kind]))
        added = [
            statistics.median(some / alone - 1 for some, alone in zip(found[kind], found[KINDS[0]], strict=True))
            for kind in KINDS[1:]
        ]
        step = statistics.median(found[KINDS[0]])
        every = max(choice.every, steps_between(2 * statistics.median(seals) / choice.overhead, step))
        mean = added[0] / every + (added[1] - added[0]) / choice.recompute_every
        per_cent = [f"{100 * ratio:+.2f}" for ratio in (*added, mean)]
        rows.append((str(tokens), f"{1000 * step:.0f}", *per_cent[:2], str(every), per_cent[2]))
    held = sum(shard.tensor.nbytes for shard in engine.state().values())
    engine.teardown()
    return Report(
        title="What the corruption sentinel adds to a step",
        table=Table(
            columns=(
                "tokens a step",
                f"{KINDS[0]}, ms",
                *(f"{kind}, %" for kind in KINDS[1:]),
                "steps between checks",
                "mean of a run, %",
            ),
            rows=tuple(rows),
        ),
        notes=(
            f"Job: recipe {RECIPE} on one rank and one thread, {size(held)} of parameters and optimizer state. Medians"
            f" of {repeat} repetitions, each the ratio of medians of {ROUNDS} steps of each kind, taking turns.",
            f"Mean of a run, which recomputes the work every {choice.recompute_every} steps and checks the state as"
            f" often as {100 * choice.overhead:g} % of the time allow. Goal: at most 1 %.",
            "A check reads the whole state twice, however long the step is: what it adds falls with the tokens that a"
            " rank takes in a step.",
        ),
    )


if __name__ == "__main__":
    sys.exit(command("sentinel", __doc__, measure, repeat=2))
