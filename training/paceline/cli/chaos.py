"""`paceline chaos`: break runs on this machine on purpose, and score what becomes of them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paceline.cli.console import Output, OutputOption, print_json, print_table

if TYPE_CHECKING:
    from paceline.chaos.run import Score
    from paceline.chaos.score import Spread, Trial

app = typer.Typer(no_args_is_help=True, help="Break runs on this machine on purpose, and score what becomes of them.")


class Suite(StrEnum):
    """How many faults."""

    SHORT = "short"
    FULL = "full"


FAULTS = {Suite.SHORT: 22, Suite.FULL: 1000}


@app.command()
def run(
    suite: Annotated[Suite, typer.Option(help="short: each class once; full: 1,000 faults.")] = Suite.SHORT,
    seed: Annotated[int, typer.Option(help="Of all chance: the same seed strikes the same blows.")] = 0,
    faults: Annotated[int | None, typer.Option(min=1, help="How many faults, instead of the suite's.")] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", metavar="NAME", help="Only this class. May be repeated.")
    ] = None,
    directory: Annotated[Path | None, typer.Option(help="Where to work; runs/chaos-SUITE if not given.")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="DIR", help="Go on with an interrupted chaos run.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Strike training runs with faults by chance, and print how each class was detected, localised and healed."""
    from paceline.chaos.registry import chosen
    from paceline.chaos.run import ChaosRun
    from paceline.chaos.schedule import Plan

    def say(text: str) -> None:
        typer.echo(text, err=True)

    def on_trial(trial: Trial, done: int, total: int) -> None:
        say(f"{done} of {total}: {_told(trial)}")

    if resume is not None:
        place = resume
        chaos = ChaosRun.resume(place, say=say, on_trial=on_trial)
    else:
        names = tuple(fault.name() for fault in chosen(classes or ()))
        plan = Plan(seed=seed, faults=faults or FAULTS[suite], classes=names)
        place = directory or Path("runs") / f"chaos-{suite.value}"
        chaos = ChaosRun.begin(place, plan, say=say, on_trial=on_trial)
    try:
        score = chaos.run()
    except KeyboardInterrupt:
        say(f"go on with: paceline chaos run --resume {place}")
        raise
    if output is Output.JSON:
        print_json(score.model_dump(mode="json"))
    else:
        _print(score)


@app.command("ls")
def list_classes(output: OutputOption = Output.TEXT) -> None:
    """All classes of faults: what breaks, and what should come of it."""
    from paceline.chaos.registry import fault_classes

    known = fault_classes()
    if output is Output.JSON:
        rows = ({"name": n, "leg": f.leg.value, "breaks": f.breaks, "then": f.then} for n, f in known.items())
        print_json(list(rows))
        return
    print_table(("class", "breaks", "then"), [(name, fault.breaks, fault.then) for name, fault in known.items()])


def _told(trial: Trial) -> str:
    detected = "" if trial.detect_seconds is None else f", detected in {trial.detect_seconds:.2f} s"
    recovered = "" if trial.recover_seconds is None else f", next new step after {trial.recover_seconds:.2f} s"
    lost = f", {trial.lost_steps} steps lost" if trial.recover_seconds is not None else ""
    false = f", {trial.false_actions} FALSE ACTIONS" if trial.false_actions else ""
    ended = f", THE RUN ENDED: {trial.ended}" if trial.ended else ""
    return f"{trial.fault}{detected}{recovered}{lost}{false}{ended}"


def _print(score: Score) -> None:
    columns = (
        *("class", "struck", "survived", "detected", "localised", "recovered"),
        *("detect p50/p95 s", "recover p50/p95 s", "lost steps", "false"),
    )
    rows = [
        (
            *(name, str(c.struck), str(c.survived), _count(c.detected), _count(c.localised), _count(c.recovered)),
            *(_spread(c.detect_seconds), _spread(c.recover_seconds), str(c.lost_steps_most), str(c.false_actions)),
        )
        for name, c in score.classes.items()
    ]
    print_table(columns, rows)
    leaked = ", ".join(f"{count} {what}" for what, count in score.leaked.model_dump().items())
    same = {True: "yes", False: "NO", None: "not compared"}[score.bit_identical]
    typer.echo(f"tokens lost {score.tokens_lost}, repeated {score.tokens_repeated}; bit-identical: {same}")
    typer.echo(f"left behind: {leaked}; {score.wall_seconds:.0f} s")


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _spread(spread: Spread) -> str:
    return "-" if spread.p50 is None or spread.p95 is None else f"{spread.p50:.2f} / {spread.p95:.2f}"
