"""What a fault costs: the same job under paceline and under torchrun with DCP, a rank killed in both.

    python -m benchmarks.recovery [--repeat N] [--save]

In every repetition the kill falls on another step between two durable checkpoints, the same one for both systems.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from benchmarks.common.command import Say, command
from benchmarks.common.jobs import RANKS, RECIPE, TorchrunRun, dataset, job, workspace
from benchmarks.common.recovery import WARM_UP_STEPS, Recovery, has_caught_up, recovery
from benchmarks.common.report import SPREAD, Report, Table, spread
from paceline.launch.local.run import LocalRun
from paceline.spec.errors import LaunchError
from paceline.spec.events import FaultDetected, GenerationOpened, StepFinished, now

SAVE_EVERY = 5
FIRST_KILL = 20
STRUCK_RANK = 1
MAX_RESTARTS = 3
PATIENCE_SECONDS = 180.0
STOCK_PATIENCE_SECONDS = 90.0
OVERRIDES = ("schedule.steps=80", f"checkpoint.persist_every={SAVE_EVERY}")

FIGURES: tuple[tuple[str, Callable[[Recovery], float], int], ...] = (
    ("kill to detection, s", lambda r: r.detect_seconds, 2),
    ("kill to first new optimizer step, s", lambda r: r.first_step_seconds, 2),
    ("the same beyond one median step, s", lambda r: r.first_step_seconds - r.step_seconds, 2),
    ("kill to first step never done before, s", lambda r: r.caught_up_seconds, 2),
    ("steps lost", lambda r: r.lost_steps, 0),
    ("undisturbed step, s", lambda r: r.step_seconds, 3),
)


class Trial:
    """One run that is struck once. `observe` returns True when there is nothing more to see."""

    def __init__(self, at: int, strike: Callable[[], None]) -> None:
        self.steps: list[StepFinished] = []
        self.killed: datetime | None = None
        self._at = at
        self._strike = strike

    def observe(self, event: object) -> bool:
        if not isinstance(event, StepFinished):
            return False
        self.steps.append(event)
        if self.killed is None and event.step >= self._at:
            self.killed = now()
            self._strike()
        return has_caught_up(self.steps)

    def outcome(self, detected: datetime | None) -> Recovery:
        if self.killed is None:
            raise LaunchError(f"the run ended before step {self._at}", "run it again on a machine with less load")
        return recovery(self.steps, killed=self.killed, detected=detected)


def under_paceline(directory: Path, data: Path, at: int) -> tuple[Recovery, list[StepFinished]]:
    """SIGKILL to everything on one of two nodes; a spare stands by."""
    local = LocalRun(job(directory, data, OVERRIDES, spares=1), directory, os.environ)
    ranks: dict[int, str] = {}
    trial = Trial(at, lambda: local.kill_node(ranks[STRUCK_RANK]))
    detected: datetime | None = None
    with local:
        for event in local.events():
            if isinstance(event, GenerationOpened):
                ranks.update({rank: node for node, rank in event.ranks.items()})
            if isinstance(event, FaultDetected) and detected is None:
                detected = event.time
            if trial.observe(event):
                break
    return trial.outcome(detected), trial.steps


def under_torchrun(
    directory: Path, data: Path, at: int, *, mended: bool = True, seconds: float = PATIENCE_SECONDS
) -> tuple[Recovery, list[StepFinished]]:
    """SIGKILL to one of two workers; the agent lives and restarts both."""
    rendered = job(directory, data, OVERRIDES)
    with TorchrunRun(
        rendered, directory, mode="thread", every=SAVE_EVERY, max_restarts=MAX_RESTARTS, mended=mended
    ) as run:
        trial = Trial(at, lambda: os.kill(run.worker(STRUCK_RANK), signal.SIGKILL))
        for event in run.events(seconds):
            if trial.observe(event):
                break
        if trial.killed is None:
            raise run.failure()
    return trial.outcome(run.detected), trial.steps


def stock(directory: Path, data: Path) -> str:
    """What the same kill does to torchrun without the cure, in words."""
    try:
        result, _ = under_torchrun(directory, data, FIRST_KILL, mended=False, seconds=STOCK_PATIENCE_SECONDS)
    except LaunchError:
        return f"no new step; given up {STOCK_PATIENCE_SECONDS:.0f} s after its start, or out of restarts before"
    return f"first new step after {result.first_step_seconds:.2f} s"


def same_losses(*runs: list[StepFinished]) -> bool:
    """Whether all runs computed the same loss wherever they did the same step."""
    losses: dict[int, float | None] = {}
    return all(losses.setdefault(step.step, step.loss) == step.loss for steps in runs for step in steps)


def measure(repeat: int, say: Say) -> Report:
    """All repetitions, the two systems taking turns."""
    ours: list[Recovery] = []
    theirs: list[Recovery] = []
    equal = True
    with workspace() as directory:
        say("prepare the data")
        data = dataset(directory)
        for number in range(repeat):
            at = FIRST_KILL + number % SAVE_EVERY
            say(f"{number + 1} of {repeat}: kill after step {at} under paceline")
            result, steps = under_paceline(directory / f"paceline-{number}", data, at)
            ours.append(result)
            say(f"{number + 1} of {repeat}: kill after step {at} under torchrun")
            result, peer_steps = under_torchrun(directory / f"torchrun-{number}", data, at)
            theirs.append(result)
            equal = equal and same_losses(steps, peer_steps)
        say("once: the same kill under torchrun without the per-attempt store")
        without = stock(directory / "torchrun-stock", data)
    systems = (("paceline", ours), ("torchrun + DCP", theirs))
    rows = tuple(
        (f"{title}: {name}", *spread([figure(r) for r in results], digits))
        for title, figure, digits in FIGURES
        for name, results in systems
    )
    return Report(
        title="Recovery from a killed rank",
        table=Table(columns=(f"figure (n = {repeat})", *SPREAD), rows=rows),
        notes=(
            f"Job: recipe {RECIPE}, {RANKS} ranks, same data, engine and model in both. Losses of all steps that both"
            f" did: {'bit-identical' if equal else 'DIFFERENT'}.",
            "paceline: SIGKILL to all processes of one of 2 nodes (supervisor, worker, standby); 1 spare node; a"
            f" snapshot of every step in the memory of 2 nodes; durable checkpoints every {SAVE_EVERY} steps.",
            f"torchrun: SIGKILL to one of 2 workers under one agent, which lives; --max-restarts={MAX_RESTARTS}"
            f" --monitor-interval=0.05; dcp.async_save (thread) every {SAVE_EVERY} steps to a local directory; a store"
            " per attempt. This is the easier fault: nobody has to notice or replace a lost node.",
            "The kill falls on each step between two durable checkpoints in turn, the same for both.",
            f"torchrun as it comes (workers meet in the agent's store, torch's default), once: {without}. Its default"
            " --monitor-interval of 0.1 adds up to 0.05 s to detection.",
            f"An undisturbed step is the median of its run before the kill, without the first {WARM_UP_STEPS} steps, in"
            " which paceline's next standbys rehearse. A step of paceline holds its snapshot and second copy.",
        ),
    )


if __name__ == "__main__":
    sys.exit(command("recovery", __doc__, measure, repeat=5))
