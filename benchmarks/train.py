"""How fast our loop trains with everything on, beside a plain loop, transformers' Trainer and torchtitan, on a CPU.

    python -m benchmarks.train [--repeat N] [--save]

The same sizes of model, tokens per step and per pass, sequence length, precision (float32), optimizer, and one thread.
Ours runs as `paceline run` does: supervised, with metrics, ledger, a snapshot of every step and its journal.
"""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path

from benchmarks.common import peer_environment
from benchmarks.common.command import Say, command
from benchmarks.common.jobs import RECIPE, dataset, job, workspace
from benchmarks.common.report import SPREAD, Report, Table, spread
from paceline.launch.local.run import LocalRun
from paceline.recipe.load import load
from paceline.spec.errors import LaunchError
from paceline.spec.events import RunFinished, StepFinished

WARM_UP_STEPS, MEASURED_STEPS = 10, 20  # during the first, paceline's next standby rehearses
STEPS = WARM_UP_STEPS + MEASURED_STEPS
OURS = "paceline"
PEERS = {
    "plain PyTorch loop": "benchmarks.peers.plain_loop",
    "transformers Trainer": "benchmarks.peers.transformers_trainer",
    "torchtitan": "benchmarks.peers.torchtitan_cpu",
}
PEER_SECONDS = 1800.0


def under_paceline(directory: Path, data: Path) -> list[float]:
    """Seconds of every step of a run on one node."""
    overrides = (f"schedule.steps={STEPS}", f"checkpoint.persist_every={STEPS}")
    seconds = []
    with LocalRun(job(directory, data, overrides, nodes=1), directory, os.environ) as run:
        for event in run.events():
            if isinstance(event, StepFinished):
                seconds.append(event.seconds)
            if isinstance(event, RunFinished) and event.outcome != "completed":
                raise LaunchError(f"the run {event.outcome}: {event.reason}", event.hint)
    return seconds


def measure(repeat: int, say: Say) -> Report:
    """All repetitions, the systems taking turns."""
    recipe = load(RECIPE).recipe
    rates: dict[str, list[float]] = {name: [] for name in (OURS, *PEERS)}
    with workspace() as directory:
        say("prepare the data")
        data = dataset(directory)
        interpreter = peer_environment.python("training", say)
        for number in range(repeat):
            for name in rates:
                say(f"{number + 1} of {repeat}: {name}")
                if name == OURS:
                    seconds = under_paceline(directory / f"run-{number}", data)
                else:
                    printed = peer_environment.run(
                        interpreter, PEERS[name], [str(data), str(STEPS)], seconds=PEER_SECONDS
                    )
                    seconds = step_seconds(printed)
                if len(seconds) != STEPS:
                    raise LaunchError(f"{name}: {len(seconds)} of {STEPS} steps were told", "run it by itself")
                rates[name] += [recipe.batch.tokens / s for s in seconds[WARM_UP_STEPS:]]
    ours = statistics.median(rates[OURS])
    return Report(
        title="Training beside other loops, one CPU rank",
        table=Table(
            columns=("system", "n", *(f"tokens/s, {name}" for name in SPREAD), "paceline over it"),
            rows=tuple(
                (name, str(len(found)), *spread(found, 0), f"{ours / statistics.median(found):.2f}")
                for name, found in rates.items()
            ),
        ),
        notes=(
            f"Model and step of recipe {RECIPE}: {recipe.batch.tokens} tokens a step in passes of"
            f" {recipe.batch.micro_sequences} sequences of {recipe.data.sequence_length}; n counts steps,"
            f" {MEASURED_STEPS} per repetition after {WARM_UP_STEPS} of warm-up. One thread each, float32, no"
            " activation checkpointing. Goals: 0.98 of the plain loop, 1.1 times torchtitan.",
            "paceline's step holds its snapshot, ledger and events. The peers' hold data, forward, backward, clipping"
            " and update, and save nothing.",
            "torchtitan runs on a CPU only with what benchmarks/peers/torchtitan_cpu.py adds; its own loader"
            " tokenises in the step.",
        ),
    )


def step_seconds(printed: str) -> list[float]:
    """The lines of a peer's output that are numbers: some peers print other lines too."""
    found = []
    for line in printed.splitlines():
        try:
            found.append(float(line))
        except ValueError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(command("train", __doc__, measure, repeat=3))
