"""How long training waits for checkpoints, when every step is saved: paceline's snapshots and DCP, side by side.

    python -m benchmarks.snapshot_stall [--repeat N] [--save]

`waited` is what the training thread spends in a step on saving; `slower` also holds what saving takes from the same
cores and memory while the step computes: the median step against the engine alone.
"""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path

from benchmarks.common.command import Say, command
from benchmarks.common.jobs import RANKS, RECIPE, TorchrunRun, dataset, job, workspace
from benchmarks.common.recovery import WARM_UP_STEPS, steady
from benchmarks.common.report import SPREAD, Report, Table, spread
from paceline.journal.units import size
from paceline.launch.local.run import LocalRun
from paceline.spec.events import SnapshotTaken, StepFinished

MEASURED_STEPS = 12
STEPS = WARM_UP_STEPS + MEASURED_STEPS
# durable checkpoints are not what is measured: only the last step, which waits for none, writes one
OVERRIDES = (f"schedule.steps={STEPS}", f"checkpoint.persist_every={STEPS}")
PATIENCE_SECONDS = 300.0

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
    return steady(steps), taken


def under_torchrun(directory: Path, data: Path, mode: str) -> list[StepFinished]:
    """The measured steps of the peer in `mode`."""
    rendered = job(directory, data, OVERRIDES)
    with TorchrunRun(rendered, directory, mode=mode, every=1, max_restarts=0) as run:
        steps = [event for event in run.events(PATIENCE_SECONDS) if isinstance(event, StepFinished)]
        if len(steps) < RANKS * STEPS:
            raise run.failure()
    return steady(steps)


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
        rows.append(
            (name, str(len(found)), *spread(waited, 1), f"{1000 * step:.0f}", f"{100 * (step / alone - 1):+.0f}")
        )
    return Report(
        title="What saving every step costs a step",
        table=Table(
            columns=("system", "n", *(f"waited ms, {name}" for name in SPREAD), "step ms, median", "slower %"),
            rows=tuple(rows),
        ),
        notes=(
            f"Job: recipe {RECIPE}, {RANKS} ranks on this machine, {size(taken)} of parameters and optimizer state per"
            f" rank; n counts steps of all ranks, {MEASURED_STEPS} per rank and repetition after {WARM_UP_STEPS} of"
            " warm-up.",
            "paceline copies to shared memory, and over TCP to the memory of the other node: that survives the loss of"
            " any one node. DCP writes to a local directory: that survives the end of all processes, as paceline's"
            " durable checkpoints do, and not the loss of the disk.",
            "DCP saves one step at a time: a save that is under way when the next is due is waited for. `thread` and"
            " `process` copy the state before they return; `staging overlapped` copies while the next step computes,"
            " as paceline does, with a reused DefaultStager.",
        ),
    )


if __name__ == "__main__":
    sys.exit(command("snapshot_stall", __doc__, measure, repeat=3))
