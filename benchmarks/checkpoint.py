"""How long training waits for checkpoints, when every step is saved: paceline's snapshots and DCP, side by side.

    python -m benchmarks.checkpoint [--repeat N] [--save]

`waited` is what the training thread spends in a step on saving; `slower` also holds what saving takes from the same
cores and memory while the step computes: the median step against the engine alone.
"""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path

from benchmarks.common.command import Say, command
from benchmarks.common.jobs import RANKS, RECIPE, dataset, job, workspace
from benchmarks.common.recovery import steady
from benchmarks.common.report import SPREAD, Report, Table, spread
from benchmarks.common.systems import torchrun_dcp
from paceline.journal.units import size
from paceline.launch.local.run import LocalRun
from paceline.spec.events import SnapshotTaken, StepFinished

WARM_UP_STEPS, MEASURED_STEPS = 5, 8
STEPS = WARM_UP_STEPS + MEASURED_STEPS
BATCH_TOKENS = 8192  # steps of seconds, as real ones; those of the recipe are a fraction of a second
# durable checkpoints are not what is measured: only the last step, which waits for none, writes one
OVERRIDES = (f"schedule.steps={STEPS}", f"checkpoint.persist_every={STEPS}", f"batch.tokens={BATCH_TOKENS}")
PATIENCE_SECONDS = 300.0
GOAL_PERCENT, GOAL_TIMES = 0.3, 10

ALONE = "engine alone"
OURS = "paceline: snapshot and second copy in memory"
PEERS = {  # name in the table: mode of the peer
    ALONE: "none",
    "dcp.async_save: thread": "thread",
    "dcp.async_save: thread, staging overlapped": "thread-staging",
    "dcp.async_save: process": "process",
    "dcp.save": "sync",
}


def under_paceline(directory: Path, data: Path) -> tuple[list[StepFinished], int]:
    """The measured steps, and the bytes of one rank's snapshot."""
    steps: list[StepFinished] = []
    taken = 0
    with LocalRun(job(directory, data, OVERRIDES), directory, os.environ) as run:
        for event in run.events():
            if isinstance(event, StepFinished):
                steps.append(event)
            elif isinstance(event, SnapshotTaken):
                taken = event.bytes
    return steady(steps, WARM_UP_STEPS), taken


def under_torchrun(directory: Path, data: Path, mode: str) -> list[StepFinished]:
    """The measured steps of the peer in `mode`."""
    rendered = job(directory, data, OVERRIDES)
    with torchrun_dcp(rendered, directory, mode=mode, every=1, max_restarts=0) as run:
        steps = [event for event in run.events(PATIENCE_SECONDS) if isinstance(event, StepFinished)]
        if len(steps) < RANKS * STEPS:
            raise run.failure()
    return steady(steps, WARM_UP_STEPS)


def measure(repeat: int, say: Say) -> Report:
    """All repetitions, the systems taking turns."""
    steps: dict[str, list[StepFinished]] = {name: [] for name in (ALONE, OURS, *PEERS)}
    taken = 0
    with workspace() as directory:
        say("prepare the data")
        data = dataset(directory)
        for number in range(repeat):
            for name in steps:
                say(f"{number + 1} of {repeat}: {name}")
                place = directory / f"run-{number}-{list(steps).index(name)}"
                if name == OURS:
                    found, taken = under_paceline(place, data)
                else:
                    found = under_torchrun(place, data, PEERS[name])
                steps[name] += found
    alone = statistics.median(step.seconds for step in steps[ALONE])
    rows = []
    for name, found in steps.items():
        step = statistics.median(s.seconds for s in found)
        waited = [1000 * s.checkpoint_seconds for s in found]
        share = 100 * statistics.median(s.checkpoint_seconds / s.seconds for s in found)
        slower = 100 * (step / alone - 1)
        rows.append((name, str(len(found)), *spread(waited), f"{share:.2f}", f"{1000 * step:.0f}", f"{slower:+.1f}"))
    return Report(
        title="What saving every step costs a step",
        table=Table(
            columns=(
                "system",
                "n",
                *(f"waited ms, {n}" for n in SPREAD),
                "% of the step",
                "step ms, median",
                "slower %",
            ),
            rows=tuple(rows),
        ),
        notes=(
            f"Job: recipe {RECIPE} with {BATCH_TOKENS} tokens a step, {RANKS} ranks on this machine, {size(taken)} of"
            f" parameters and optimizer state per rank; n counts steps of all ranks, {MEASURED_STEPS} per rank and"
            f" repetition after {WARM_UP_STEPS} of warm-up.",
            "paceline copies to shared memory, and over TCP to the memory of the other node: that survives the loss of"
            " any one node. DCP writes to a local directory: that survives the end of all processes, as paceline's"
            " durable checkpoints do, and not the loss of the disk.",
            f"Goal: at most {GOAL_PERCENT} % of a step waited, and {GOAL_TIMES} times less than `dcp.async_save`.",
            "DCP saves one step at a time: a save that is under way when the next is due is waited for. `thread` and"
            " `process` copy the state before they return; `staging overlapped` copies while the next step computes,"
            " as paceline does, with a reused DefaultStager.",
        ),
    )


if __name__ == "__main__":
    sys.exit(command("checkpoint", __doc__, measure, repeat=2))
