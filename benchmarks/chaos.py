"""The chaos score: training runs that are broken for real, again and again, and what became of each class of faults.

    python -m benchmarks.chaos [--repeat N] [--save]

Each repetition strikes every class once; 46 are a thousand faults and some more. An interrupted run goes on where it
was when it is asked for as many again: until it is over, what it has done lies in runs/bench-chaos.
"""

from __future__ import annotations

import shutil
import sys

from benchmarks.common.command import Say, command
from benchmarks.common.jobs import ROOT
from benchmarks.common.report import Report, Table
from paceline.chaos.legs import LEASE_SECONDS
from paceline.chaos.registry import fault_classes
from paceline.chaos.run import ChaosRun, Score, begun
from paceline.chaos.schedule import Plan
from paceline.chaos.score import ClassScore, Spread, Trial
from paceline.spec.job import Timeouts

SEED = 0
DIRECTORY = ROOT / "runs" / "bench-chaos"
COLUMNS = (
    *("class", "struck", "detected", "localised", "recovered", "detect p50", "p95", "recover p50", "p95"),
    *("lost steps, most", "false actions", "ended the run", "trial p50"),
)


def measure(repeat: int, say: Say) -> Report:
    """One chaos run of `repeat` rounds."""
    classes = tuple(fault_classes())
    plan = Plan(seed=SEED, faults=repeat * len(classes), classes=classes)

    def on_trial(trial: Trial, done: int, total: int) -> None:
        say(f"{done} of {total}: {trial.fault}")

    if begun(DIRECTORY) == plan:
        chaos = ChaosRun.resume(DIRECTORY, say=say, on_trial=on_trial)
        say(f"{DIRECTORY}: going on after {len(chaos.trials)} of {plan.faults} faults")
    else:
        chaos = ChaosRun.begin(DIRECTORY, plan, say=say, on_trial=on_trial)
    score = chaos.run()
    shutil.rmtree(DIRECTORY)
    return report(score)


def report(score: Score) -> Report:
    """The score as a table: seconds, and a dash where nothing is to be counted."""
    rows = tuple((name, *_cells(found)) for name, found in score.classes.items())
    same = {True: "bit-identical", False: "DIFFERENT", None: "not compared"}
    legs = (
        f"Leg {name}: {leg.steps} steps, {leg.tokens_lost} tokens lost, {leg.tokens_repeated} repeated; final"
        f" parameters beside the undisturbed run of the same seed: {same[leg.bit_identical]}."
        for name, leg in score.legs.items()
    )
    leaked = ", ".join(f"{count} {what}" for what, count in score.leaked.model_dump().items())
    return Report(
        title="Chaos score",
        table=Table(columns=COLUMNS, rows=rows),
        notes=(
            f"{score.plan.faults} faults, seed {score.plan.seed}, {score.wall_seconds:.0f} s of this machine. Seconds;"
            " detect: from the blow to the first sign; recover: from the last blow to the end of the first optimizer"
            " step of the next generation; trial: from full strength to full strength, every spare's standby ready."
            f" Nodes have a lease of {LEASE_SECONDS:g} s here ({Timeouts().lease:g} s by default), which"
            " file_bit_flip and torn_write wait for."
            " What each class breaks: docs/guides/what-happens-when.md.",
            *legs,
            f"Left behind on the machine: {leaked}.",
        ),
    )


def _cells(found: ClassScore) -> tuple[str, ...]:
    return (
        *(str(found.struck), _count(found.detected), _count(found.localised), _count(found.recovered)),
        *_seconds(found.detect_seconds),
        *_seconds(found.recover_seconds),
        *(str(found.lost_steps_most), str(found.false_actions), str(found.struck - found.survived)),
        _seconds(found.seconds)[0],
    )


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _seconds(spread: Spread) -> list[str]:
    return ["-" if value is None else f"{value:.2f}" for value in (spread.p50, spread.p95)]


if __name__ == "__main__":
    sys.exit(command("chaos", __doc__, measure, repeat=2))
