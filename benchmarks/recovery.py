"""What a fault costs: the same job under paceline and under those that restart or heal jobs, a rank killed in each.

    python -m benchmarks.recovery [--repeat N] [--save]

In every repetition the kill falls on another step between two durable checkpoints, the same one for all systems.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from pathlib import Path

from benchmarks.common import peer_environment, systems
from benchmarks.common.command import Say, command
from benchmarks.common.jobs import DEBUG, RANKS, RECIPE, Size, dataset, job, workspace
from benchmarks.common.peer_run import PeerRun
from benchmarks.common.recovery import Recovery, has_caught_up, recovery
from benchmarks.common.report import SPREAD, Report, Table, spread
from paceline.launch.local.run import LocalRun
from paceline.spec.errors import LaunchError
from paceline.spec.events import AnyEvent, FaultDetected, GenerationOpened, RunFinished, StepFinished, now
from paceline.spec.job import JobSpec

SAVE_EVERY = 5
STRUCK_RANK = 1
PATIENCE_SECONDS = 60.0  # without any step
OVERRIDES = ("schedule.steps=80", f"checkpoint.persist_every={SAVE_EVERY}")

OURS = "paceline"
TORCHRUN = "torchrun + DCP"
STOCK = "torchrun + DCP, one store"

FIGURES: tuple[tuple[str, Callable[[Recovery], float | None], int], ...] = (
    ("kill to detection, s", lambda r: r.detect_seconds, 2),
    ("kill to first new optimizer step, s", lambda r: r.first_step_seconds, 2),
    ("the same beyond one median step, s", lambda r: r.first_step_seconds - r.step_seconds, 2),
    ("kill to a step of every rank, s", lambda r: r.whole_seconds, 2),
    ("kill to first step never done before, s", lambda r: r.caught_up_seconds, 2),
    ("steps lost", lambda r: r.lost_steps, 0),
    ("undisturbed step, s", lambda r: r.step_seconds, 3),
)


class Trial:
    """One run that is struck once, after step `at`."""

    def __init__(self, at: int, warm_up: int) -> None:
        self.steps: list[StepFinished] = []
        self.killed: datetime | None = None
        self.detected: datetime | None = None
        self.nodes: dict[int, str] = {}  # by their first rank
        self._at = at
        self._warm_up = warm_up

    def watch(self, events: Iterable[AnyEvent], strike: Callable[[], None]) -> None:
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
                strike()
            if has_caught_up(self.steps):
                return

    def outcome(self) -> Recovery:
        assert self.killed is not None
        return recovery(self.steps, killed=self.killed, detected=self.detected, warm_up=self._warm_up)


def under_paceline(directory: Path, data: Path, size: Size, at: int) -> Trial:
    """SIGKILL to everything on one of two nodes; a spare stands by."""
    local = LocalRun(job(directory, data, OVERRIDES, size=size, spares=1), directory, os.environ)
    trial = Trial(at, size.warm_up)
    with local:
        trial.watch(local.events(), lambda: local.kill_node(trial.nodes[STRUCK_RANK]))
    return trial


def under_peer(start: Callable[[JobSpec, Path], PeerRun], directory: Path, data: Path, size: Size, at: int) -> Trial:
    """SIGKILL to one of two workers; whoever started it lives."""
    trial = Trial(at, size.warm_up)
    with start(job(directory, data, OVERRIDES, size=size), directory) as run:
        trial.watch(run.events(PATIENCE_SECONDS), lambda: os.kill(run.worker(STRUCK_RANK), signal.SIGKILL))
        trial.detected = run.detected
        if trial.killed is None:
            raise run.failure()
    return trial


def peers(say: Say) -> dict[str, Callable[[JobSpec, Path], PeerRun]]:
    """How each of them is started, by name."""
    nvidia = peer_environment.python("nvidia-resiliency-ext", say)
    torchft = peer_environment.python("torchft", say)
    return {
        TORCHRUN: partial(systems.torchrun_dcp, mode="thread", every=SAVE_EVERY),
        STOCK: partial(systems.torchrun_dcp, mode="thread", every=SAVE_EVERY, mended=False),
        "NVRx ft_launcher + DCP": partial(systems.ft_launcher, python=nvidia, every=SAVE_EVERY),
        "NVRx in-process + DCP": partial(systems.in_process, python=nvidia, every=SAVE_EVERY),
        "torchft": partial(systems.torchft, python=torchft),
    }


def same_losses(*runs: list[StepFinished]) -> bool:
    """Whether all runs computed the same loss wherever they did the same step."""
    losses: dict[int, float | None] = {}
    return all(losses.setdefault(step.step, step.loss) == step.loss for steps in runs for step in steps)


def rows(trials: dict[str, list[Trial]]) -> list[tuple[str, ...]]:
    """A line per figure and system; of the runs that came back."""
    found = {
        name: [trial.outcome() for trial in several if has_caught_up(trial.steps)] for name, several in trials.items()
    }
    lines: list[tuple[str, ...]] = []
    for title, figure, digits in FIGURES:
        for name, recoveries in found.items():
            values = [value for recovery in recoveries if (value := figure(recovery)) is not None]
            back = f"{len(recoveries)} of {len(trials[name])}"
            lines.append((f"{title}: {name}", back, *spread(values, digits)))
    return lines


def times_as_fast(trials: dict[str, list[Trial]]) -> str:
    """How much sooner than under torchrun the first new step of paceline is, whole and without a step, in words."""
    whole, beyond = {}, {}
    for name in (OURS, TORCHRUN):
        found = [trial.outcome() for trial in trials[name] if has_caught_up(trial.steps)]
        if not found:
            return f"{name} did not come back: there is nothing to compare."
        whole[name] = statistics.median(r.first_step_seconds for r in found)
        beyond[name] = statistics.median(r.first_step_seconds - r.step_seconds for r in found)
    return (
        f"Kill to first new optimizer step: paceline {whole[TORCHRUN] / whole[OURS]:.1f} times as fast as torchrun;"
        f" beyond one median step {beyond[TORCHRUN]:.2f} s against {beyond[OURS]:.2f} s of paceline."
    )


def measure(size: Size, repeat: int, say: Say) -> Report:
    """All repetitions, the systems taking turns."""
    trials: dict[str, list[Trial]] = {}
    with workspace() as directory:
        say("prepare the data")
        data = dataset(directory, size)
        others = peers(say)
        for number in range(repeat):
            at = size.warm_up + size.undisturbed + number % SAVE_EVERY
            for system, name in enumerate((OURS, *others)):
                say(f"{number + 1} of {repeat}: kill after step {at} under {name}")
                place = directory / f"run-{number}-{system}"
                if name == OURS:
                    trial = under_paceline(place, data, size, at)
                else:
                    trial = under_peer(others[name], place, data, size, at)
                trials.setdefault(name, []).append(trial)
                say(f"{name}: {trial.outcome() if has_caught_up(trial.steps) else 'did not come back'}")
    engine = [trial.steps for name, several in trials.items() if name != "torchft" for trial in several]
    return Report(
        title=f"Recovery from a killed rank, model {size.title}",
        table=Table(columns=(f"figure (n = {repeat})", "came back", *SPREAD), rows=tuple(rows(trials))),
        notes=(
            times_as_fast(trials),
            f"Job: recipe {RECIPE}, model {size.title}, {RANKS} ranks, same data and model; the same engine but in"
            f" torchft. Losses of all steps that these did: {'' if same_losses(*engine) else 'NOT '}bit-identical."
            f" Changed in the recipe: {', '.join((*size.overrides, *OVERRIDES))}.",
            "paceline: SIGKILL to all processes of one of 2 nodes (supervisor, worker, standby); 1 spare node; a"
            f" snapshot of every step in the memory of 2 nodes; durable checkpoints every {SAVE_EVERY} steps.",
            "The others: SIGKILL to one of 2 workers; whoever started it lives. This is the easier fault: nobody has to"
            f" notice or replace a lost node. DCP: async_save (thread) every {SAVE_EVERY} steps to a local directory.",
            f"torchrun, ft_launcher: --max-restarts={systems.MAX_RESTARTS} --monitor-interval=0.05. torchrun has a"
            " store per attempt; `one store` is torch as shipped: its workers first open a gloo group in the agent's. A"
            f" run that did not come back was out of restarts or silent for {PATIENCE_SECONDS:.0f} s.",
            "NVRx in-process: 3 processes, one in reserve; intervals of 0.2 s instead of its default of 1 s. It says"
            " nothing of when it has detected a fault.",
            "torchft: 2 replicas of one rank. The first new step is that of the survivor alone, with half of the batch;"
            " the step in which the other died is dropped, which is not counted as lost here. `a step of every rank` is"
            " when the killed one takes part again.",
            "The kill falls on each step between two durable checkpoints in turn. An undisturbed step is the median of"
            f" the run before the kill, without the first {size.warm_up} steps, in which paceline's next standbys"
            " rehearse. A step of paceline holds its snapshot and second copy.",
        ),
    )


if __name__ == "__main__":
    sys.exit(command("recovery", __doc__, partial(measure, DEBUG), repeat=3))
