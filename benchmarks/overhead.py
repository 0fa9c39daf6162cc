"""What a run pays for being supervised: steps of `paceline run` beside bare steps of the same engine, by turns.

    python -m benchmarks.overhead [--repeat N] [--save]

A run on one rank has all that every run has: supervisor and coordinator, progress words, ledger, journal, a snapshot of
every step and the sentinel. Between its steps its worker takes bare ones: forward, backward, update.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from pathlib import Path

from benchmarks.common.bare_steps import BLOCK, ENV_FILE
from benchmarks.common.command import Say, command
from benchmarks.common.jobs import RECIPE, ROOT, dataset, workspace
from benchmarks.common.report import SPREAD, Report, Table, spread
from paceline.launch.job import RunRequest, render
from paceline.launch.local.run import LocalRun
from paceline.recipe.load import load
from paceline.spec.errors import LaunchError
from paceline.spec.events import RunFinished, SentinelPaced
from paceline.spec.job import Timeouts

WARM_UP, BLOCKS = 2, 7  # blocks; during the first the next standby rehearses, and the sentinel finds its cadence
STEPS = (WARM_UP + BLOCKS) * BLOCK
KINDS = {"everything": (), "without the sentinel": ("sentinel=null",)}
_BARE_SECONDS = 120.0  # while bare steps are taken nothing seems to move

Block = dict[str, tuple[list[float], list[float]]]
CLOCKS = {"wall": "wall clock", "trainer": "what the trainer computes"}


def train(directory: Path, data: Path, overrides: tuple[str, ...]) -> tuple[list[Block], int]:
    """The blocks of a run, and how often its sentinel checked the state in the end."""
    found = directory.with_suffix(".steps")
    settings = ("callbacks=['benchmarks.common.bare_steps:BareSteps']", f"schedule.steps={STEPS}")
    request = RunRequest(
        name=directory.name,
        recipe=load(RECIPE, (*settings, f"checkpoint.persist_every={STEPS}", *overrides)),
        dataset=str(data),
        checkpoints=str(directory / "checkpoints"),
        nodes=1,
        spares=0,
        timeouts=Timeouts(hang_floor=_BARE_SECONDS),
    )
    every = 1
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with LocalRun(
        render(request, directory), directory, {**os.environ, "PYTHONPATH": path, ENV_FILE: str(found)}
    ) as run:
        for event in run.events():
            if isinstance(event, SentinelPaced):
                every = event.after
            if isinstance(event, RunFinished) and event.outcome != "completed":
                raise LaunchError(f"the run {event.outcome}: {event.reason}", event.hint)
    return [json.loads(line) for line in found.read_text(encoding="utf-8").splitlines()][WARM_UP:], every


def measure(repeat: int, say: Say) -> Report:
    """All repetitions, the kinds of runs taking turns."""
    blocks: dict[str, list[Block]] = {kind: [] for kind in KINDS}
    cadences = []
    with workspace() as directory:
        say("prepare the data")
        data = dataset(directory)
        for number in range(repeat):
            for place, (kind, overrides) in enumerate(KINDS.items()):
                say(f"{number + 1} of {repeat}: {kind}")
                found, every = train(directory / f"run-{number}-{place}", data, overrides)
                blocks[kind] += found
                cadences += [] if overrides else [every]
    return Report(
        title="What supervision adds to a step, one CPU rank",
        table=Table(
            columns=("run", "blocks", "bare step, ms", *(f"added, %, {name}" for name in SPREAD)),
            rows=tuple(
                (
                    f"{kind}: {title}",
                    str(len(found)),
                    f"{1000 * statistics.median(seconds for block in found for seconds in block[clock][1]):.0f}",
                    *spread([_added(*block[clock]) for block in found]),
                )
                for kind, found in blocks.items()
                for clock, title in CLOCKS.items()
            ),
        ),
        notes=(
            f"Recipe {RECIPE} on one rank and one thread. A block is {BLOCK - 1} steps of the run and then {BLOCK - 1}"
            " bare ones of its engine in the same process, and what it adds the ratio of their medians. Goal: at most"
            " 1 %.",
            "The wall clock is what counts, and also counts what else the machine does: blocks differ by more than the"
            " goal. The processor time of the trainer's thread does not, nor what it waits for: the stall for snapshots"
            " is in benchmarks.checkpoint.",
            "everything: supervisor and coordinator beside it, progress words, ledger, journal, a snapshot of every"
            f" step, the sentinel; it checked the state every {_listed(cadences)} steps.",
            "The sentinel's recomputations, one in 200 steps, fall outside of so short a run: benchmarks.sentinel has"
            " them.",
        ),
    )


def _added(own: list[float], bare: list[float]) -> float:
    """In percent."""
    return 100 * (statistics.median(own) / statistics.median(bare) - 1)


def _listed(cadences: list[int]) -> str:
    return " and ".join(map(str, sorted(set(cadences))))


if __name__ == "__main__":
    sys.exit(command("overhead", __doc__, measure, repeat=1))
