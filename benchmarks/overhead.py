"""What a run pays for being supervised: steps of `paceline run` beside bare steps of the same engine, by turns.

    python -m benchmarks.overhead [--repeat N] [--save]

A run on one rank has all that every run has: supervisor and coordinator, progress words, ledger, journal, a snapshot of
every step and the sentinel. Between its steps its worker takes bare ones: forward, backward, update. Short steps show
what is added whatever a step computes; long ones, what share that is.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.bare_steps import BLOCK, ENV_FILE
from benchmarks.common.command import Say, command
from benchmarks.common.jobs import RECIPE, ROOT, dataset, workspace
from benchmarks.common.report import Report, Table
from paceline.launch.job import RunRequest, render
from paceline.launch.local.run import LocalRun
from paceline.recipe.load import load
from paceline.spec.errors import LaunchError
from paceline.spec.events import RunFinished
from paceline.spec.job import Timeouts

_BARE_SECONDS = 120.0  # while bare steps are taken nothing seems to move
_NINETY_FIVE_PERCENT = 1.96

Block = dict[str, tuple[list[float], list[float]]]
CLOCKS = {"wall": "wall clock", "trainer": "trainer computes"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A kind of run, of which `blocks` are counted; in the `warm_up` ones before them the next standby rehearses and
    the sentinel finds its cadence."""

    title: str
    warm_up: int
    blocks: int
    overrides: tuple[str, ...] = ()


_SHORT = ("model.preset=micro", "data.sequence_length=64", "batch.tokens=512")
_NO_SENTINEL = "sentinel=null"
CASES = (
    Case(title="short steps", warm_up=40, blocks=200, overrides=_SHORT),
    Case(title="short steps, no sentinel", warm_up=40, blocks=200, overrides=(*_SHORT, _NO_SENTINEL)),
    Case(title="long steps", warm_up=2, blocks=7),
    Case(title="long steps, no sentinel", warm_up=2, blocks=7, overrides=(_NO_SENTINEL,)),
)


def train(directory: Path, data: Path, case: Case) -> list[Block]:
    """The blocks of a run."""
    found, steps = directory.with_suffix(".steps"), (case.warm_up + case.blocks) * BLOCK
    settings = ("callbacks=['benchmarks.common.bare_steps:BareSteps']", f"schedule.steps={steps}")
    request = RunRequest(
        name=directory.name,
        recipe=load(RECIPE, (*settings, f"checkpoint.persist_every={steps}", *case.overrides)),
        dataset=str(data),
        checkpoints=str(directory / "checkpoints"),
        nodes=1,
        spares=0,
        timeouts=Timeouts(hang_floor=_BARE_SECONDS),
    )
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with LocalRun(
        render(request, directory), directory, {**os.environ, "PYTHONPATH": path, ENV_FILE: str(found)}
    ) as run:
        for event in run.events():
            if isinstance(event, RunFinished) and event.outcome != "completed":
                raise LaunchError(f"the run {event.outcome}: {event.reason}", event.hint)
    return [json.loads(line) for line in found.read_text(encoding="utf-8").splitlines()][case.warm_up :]


def measure(repeat: int, say: Say) -> Report:
    """All repetitions, the kinds of runs taking turns."""
    blocks: dict[str, list[Block]] = {case.title: [] for case in CASES}
    with workspace() as directory:
        say("prepare the data")
        data = dataset(directory)
        for number in range(repeat):
            for place, case in enumerate(CASES):
                say(f"{number + 1} of {repeat}: {case.title}")
                blocks[case.title] += train(directory / f"run-{number}-{place}", data, case)
    return Report(
        title="What supervision adds to a step, one CPU rank",
        table=Table(
            columns=("run", "blocks", "bare step, ms", "added, ms", "from", "to", "added, %"),
            rows=tuple(
                _row(f"{title}: {name}", [block[clock] for block in found])
                for title, found in blocks.items()
                for clock, name in CLOCKS.items()
            ),
        ),
        notes=(
            f"Recipe {RECIPE} on one rank and one thread; for short steps with {', '.join(_SHORT)}. A block is"
            f" {BLOCK - 1} steps of the run and then {BLOCK - 1} bare ones of its engine in the same process, and what"
            " it adds the difference of their medians. Of all blocks this is the median, with its 95 % interval by the"
            " order of the blocks. Goal: at most 1 % of a step as long as those of real runs.",
            "The wall clock is what counts, and also counts what else the machine does: with few blocks of long steps"
            " the interval is wider than the goal. What is added to a short step (supervisor, progress words, ledger,"
            " journal, the agreement of the ranks) is added to any; what grows with the state of a rank is measured by"
            " itself: snapshots in benchmarks.checkpoint, the sentinel's reading in benchmarks.sentinel.",
            "The processor time of the trainer's thread does not count what it waits for.",
            "The sentinel's recomputations, one in 200 steps, fall outside of so short a run: benchmarks.sentinel has"
            " them.",
        ),
    )


def _row(title: str, blocks: Sequence[tuple[list[float], list[float]]]) -> tuple[str, ...]:
    bare = 1000 * statistics.median(statistics.median(bare) for _, bare in blocks)
    added = sorted(1000 * (statistics.median(own) - statistics.median(bare)) for own, bare in blocks)
    count, reach = len(added), _NINETY_FIVE_PERCENT * math.sqrt(len(added)) / 2
    low = added[max(0, math.floor((count - 1) / 2 - reach))]
    high = added[min(count - 1, math.ceil((count - 1) / 2 + reach))]
    median = statistics.median(added)
    figures = (f"{figure:.2f}" for figure in (median, low, high, 100 * median / bare))
    return (title, str(count), f"{bare:.1f}", *figures)


if __name__ == "__main__":
    sys.exit(command("overhead", __doc__, measure, repeat=1))
