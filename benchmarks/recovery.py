"""What a fault costs: the same job under paceline and under torchrun with DCP, a rank killed in both.

    python -m benchmarks.recovery [--repeat N] [--save]

In every repetition the kill falls on another step between two durable checkpoints, the same one for both systems.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from benchmarks.common.command import Say, command
from benchmarks.common.jobs import RANKS, RECIPE, TorchrunRun, dataset, job, workspace
from benchmarks.common.recovery import WARM_UP_STEPS, Recovery, has_caught_up, recovery
from benchmarks.common.report import SPREAD, Report, Table, spread
from paceline.launch.local.run import LocalRun
from paceline.spec.errors import LaunchError
from paceline.spec.events import AnyEvent, FaultDetected, GenerationOpened, RunFinished, StepFinished, now

SAVE_EVERY = 5
FIRST_KILL = 20
STRUCK_RANK = 1
MAX_RESTARTS = 3
PATIENCE_SECONDS = 60.0  # without any step
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
    """One run that is struck once."""

    def __init__(self, at: int, strike: Callable[[], None]) -> None:
        self.steps: list[StepFinished] = []
        self.killed: datetime | None = None
        self.detected: datetime | None = None
        self.nodes: dict[int, str] = {}  # by their first rank
        self._at = at
        self._strike = strike

    def watch(self, events: Iterable[AnyEvent]) -> None:
        """Strike in time, and look on until the run has come back or is over. LaunchError if it ends before."""
        for event in events:
            if isinstance(event, GenerationOpened):
                self.nodes = {rank: node for node, rank in event.ranks.items()}
            if isinstance(event, FaultDetected):
                self.detected = self.detected or event.time
            if isinstance(event, RunFinished) and self.killed is None:
                raise LaunchError(f"the run is over before step {self._at}: {event.reason}", event.hint)
            if not isinstance(event, StepFinished):
                continue
            self.steps.append(event)
            if self.killed is None and event.step >= self._at:
                self.killed = now()
                self._strike()
            if has_caught_up(self.steps):
                return

    def outcome(self) -> Recovery:
        assert self.killed is not None
        return recovery(self.steps, killed=self.killed, detected=self.detected)


def under_paceline(directory: Path, data: Path, at: int) -> Trial:
    """SIGKILL to everything on one of two nodes; a spare stands by."""
    local = LocalRun(job(directory, data, OVERRIDES, spares=1), directory, os.environ)
    trial = Trial(at, lambda: local.kill_node(trial.nodes[STRUCK_RANK]))
    with local:
        trial.watch(local.events())
    return trial


def under_torchrun(directory: Path, data: Path, at: int, *, mended: bool = True) -> Trial:
    """SIGKILL to one of two workers; the agent lives and restarts both."""
    rendered = job(directory, data, OVERRIDES)
    with TorchrunRun(
        rendered, directory, mode="thread", every=SAVE_EVERY, max_restarts=MAX_RESTARTS, mended=mended
    ) as run:
        trial = Trial(at, lambda: os.kill(run.worker(STRUCK_RANK), signal.SIGKILL))
        trial.watch(run.events(PATIENCE_SECONDS))
        trial.detected = run.detected
        if trial.killed is None:
            raise run.failure()
    return trial


def came_back(trials: list[Trial]) -> str:
    """In how many of `trials` there was a next step, and how soon, in words."""
    seconds = [trial.outcome().first_step_seconds for trial in trials if has_caught_up(trial.steps)]
    soonest = f", after {min(seconds):.1f} to {max(seconds):.1f} s" if seconds else ""
    return f"came back in {len(seconds)} of {len(trials)} runs{soonest}"


def same_losses(*runs: list[StepFinished]) -> bool:
    """Whether all runs computed the same loss wherever they did the same step."""
    losses: dict[int, float | None] = {}
    return all(losses.setdefault(step.step, step.loss) == step.loss for steps in runs for step in steps)


def measure(repeat: int, say: Say) -> Report:
    """All repetitions, the two systems taking turns."""
    ours: list[Recovery] = []
    theirs: list[Recovery] = []
    stock: list[Trial] = []
    equal = True
    with workspace() as directory:
        say("prepare the data")
        data = dataset(directory)
        for number in range(repeat):
            at = FIRST_KILL + number % SAVE_EVERY
            say(f"{number + 1} of {repeat}: kill after step {at} under paceline")
            trial = under_paceline(directory / f"paceline-{number}", data, at)
            ours.append(trial.outcome())
            say(f"{number + 1} of {repeat}: kill after step {at} under torchrun")
            peer = under_torchrun(directory / f"torchrun-{number}", data, at)
            theirs.append(peer.outcome())
            equal = equal and same_losses(trial.steps, peer.steps)
            say(f"{number + 1} of {repeat}: the same without a store per attempt")
            stock.append(under_torchrun(directory / f"stock-{number}", data, at, mended=False))
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
            "The same, but its workers first open one gloo group in the agent's store, which torch does by default:"
            f" {came_back(stock)}; a run that did not was out of restarts or silent for {PATIENCE_SECONDS:.0f} s. A job"
            " with more groups there has more to lose. The default --monitor-interval is 0.1.",
            f"An undisturbed step is the median of its run before the kill, without the first {WARM_UP_STEPS} steps, in"
            " which paceline's next standbys rehearse. A step of paceline holds its snapshot and second copy.",
        ),
    )


if __name__ == "__main__":
    sys.exit(command("recovery", __doc__, measure, repeat=5))
