"""`paceline simulate`: how a run would fare on many accelerators, with the code that heals real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paceline.cli.console import Output, OutputOption, print_json, print_table, progress_bars
from paceline.cli.fleet import PolicyFile
from paceline.spec.errors import PacelineError, ParameterError

if TYPE_CHECKING:
    from paceline.catalog.failure_rates import FailureRates, Recovery
    from paceline.heal.policy import Policy
    from paceline.simulate.outcome import Outcome
    from paceline.simulate.scenario import Scenario
    from paceline.simulate.sweep import Point

_FAULTS, _JOB, _STUDY = "What fails", "How the job recovers", "What is compared"


def simulate(
    accelerators: Annotated[int, typer.Option(min=8, help="Accelerators of the job; 8 are a node.")],
    days: Annotated[float, typer.Option(min=0.001, help="How long it runs.")],
    spares: Annotated[
        int | None, typer.Option(min=0, help="Nodes that stand by.", show_default="as many as the healer wants")
    ] = None,
    rates: Annotated[
        str, typer.Option(help="Whose failure rate: a row of the catalog's table.", rich_help_panel=_FAULTS)
    ] = "llama3",
    correlated: Annotated[
        float,
        typer.Option(
            min=0, max=0.99, help="Share of failures that take a switch; ByteRobust: 0.01.", rich_help_panel=_FAULTS
        ),
    ] = 0.0,
    infant: Annotated[
        tuple[float, float],
        typer.Option(metavar="FACTOR DAYS", help="A new machine fails so much oftener.", rich_help_panel=_FAULTS),
    ] = (1.0, 0.0),
    repeat_offenders: Annotated[
        bool, typer.Option(help="Machines that failed fail oftener, as SuperBench saw.", rich_help_panel=_FAULTS)
    ] = False,
    false_alarms: Annotated[
        float,
        typer.Option(
            min=0, help="Healthy nodes accused per 1000 node-days; a B200 cluster: 13.33.", rich_help_panel=_FAULTS
        ),
    ] = 0.0,
    replacement: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Seconds until another machine has come.",
            show_default="HyperPod's 20-30 min",
            rich_help_panel=_FAULTS,
        ),
    ] = None,
    recovery: Annotated[
        str, typer.Option(help="How jobs recover: a row of the catalog's table.", rich_help_panel=_JOB)
    ] = "one-minute",
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN_DIR",
            help="Recover as this run did; may be repeated. What did not happen in it is taken from --recovery.",
            rich_help_panel=_JOB,
        ),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            metavar="AXIS=V,V,...",
            help="Change cadence, spares, detection, replacement one by one: cadence=10,60,spares=0,4.",
            rich_help_panel=_STUDY,
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the sweep as a page.", rich_help_panel=_STUDY)
    ] = None,
    price: Annotated[
        float | None, typer.Option(min=0, help="Of a node-hour, for costs.", rich_help_panel=_STUDY)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all chance. The same seed gives the same result.")] = 0,
    policy: PolicyFile = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Run a job for days of virtual time and print its goodput, where the rest went, and what others have published."""
    from paceline.catalog.failure_rates import failure_rates
    from paceline.heal.policy import load_policy
    from paceline.heal.spares import spares_wanted
    from paceline.simulate.run import Simulation
    from paceline.simulate.scenario import ACCELERATORS_PER_NODE, Scenario
    from paceline.simulate.sweep import parse_sweep

    table, rules = failure_rates(), load_policy(policy)
    if accelerators % ACCELERATORS_PER_NODE:
        below = accelerators - accelerators % ACCELERATORS_PER_NODE
        hint = f"say {below} or {below + ACCELERATORS_PER_NODE}"
        raise ParameterError(f"--accelerators {accelerators}: the rates are those of nodes of 8", hint)
    if infant[0] <= 0 or infant[1] < 0:
        raise ParameterError(f"--infant {infant[0]:g} {infant[1]:g}: a factor above 0, and days", "say --infant 3 30")
    if plot is not None and sweep is None:
        raise ParameterError(f"--plot {plot}: there is no sweep to draw", "say what to change with --sweep")
    rate = _row("--rates", rates, table.rates).per_1000_node_days
    how = _row("--recovery", recovery, table.recoveries)
    axes = parse_sweep(sweep) if sweep is not None else {}
    if calibrate:
        how = _calibrated(calibrate, how)
    nodes = accelerators // ACCELERATORS_PER_NODE
    rules = rules.model_copy(update={"failures_per_1000_node_days": rate})
    scenario = Scenario(
        nodes=nodes,
        days=days,
        spares=spares_wanted(nodes, rules) if spares is None else spares,
        per_1000_node_days=rate,
        recovery=how,
        replace=table.repairs.replace if replacement is None else (replacement, replacement),
        seed=seed,
        correlated=correlated,
        infant_factor=infant[0],
        infant_days=infant[1],
        repeat_factor=table.repeat_offenders.factor if repeat_offenders else 1.0,
        false_alarms=false_alarms,
        node_hour_price=price,
    )
    outcome = Simulation(scenario, rules).run()
    points = _swept(scenario, rules, axes, table)
    if plot is not None:
        _draw(plot, points, f"{accelerators} accelerators, {days:g} days, rates of {rates}")
    show = _print_json if output is Output.JSON else _print_text
    show(scenario, outcome, points, table)
    typer.echo(f"{how.meaning}; simulated in {outcome.wall_seconds:.1f} s", err=True)


def _row(option: str, given: str, rows: Mapping[str, Any]) -> Any:
    from paceline.spec.documents import nearest

    if given not in rows:
        raise ParameterError(f"{option} {given}: not in the table of failure rates", nearest(given, list(rows)))
    return rows[given]


def _calibrated(runs: Sequence[Path], base: Recovery) -> Recovery:
    from paceline.journal.reader import read
    from paceline.simulate.calibration import calibrate

    found = calibrate([read(run / "journal").events for run in runs], base, ", ".join(run.name for run in runs))
    for kind, samples in found.samples.items():
        told = f"{samples} recoveries measured" if samples else f"not measured, taken from: {base.meaning}"
        typer.echo(f"{kind}: {told}", err=True)
    return found.recovery


def _swept(scenario: Scenario, policy: Policy, axes: dict[str, tuple[float, ...]], table: FailureRates) -> list[Point]:
    from paceline.simulate.sweep import sweep

    total, points = sum(map(len, axes.values())), []
    if not total:
        return []
    with progress_bars() as show:
        for point in sweep(scenario, policy, axes, table):
            points.append(point)
            show("sweep", len(points), total)
    return points


def _draw(page: Path, points: Sequence[Point], title: str) -> None:
    from paceline.simulate.plot import render

    try:
        page.write_text(render(points, title), encoding="utf-8")
    except OSError as cause:
        raise PacelineError(f"{page}: the plot cannot be written: {cause.strerror}", "name another place") from cause
    typer.echo(f"plot: {page}", err=True)


def _print_json(scenario: Scenario, outcome: Outcome, points: Sequence[Point], table: FailureRates) -> None:
    ledger = {str(activity): amount / 1e6 for activity, amount in outcome.ledger.items()}
    print_json(
        {
            **outcome.model_dump(mode="json"),
            "ledger": ledger,
            "goodput_closed_form": scenario.expected_goodput(table),
            "scenario": scenario.model_dump(mode="json"),
            "sweep": [point.model_dump() for point in points],
            "published": [row.model_dump() for row in table.published],
        }
    )


def _print_text(scenario: Scenario, outcome: Outcome, points: Sequence[Point], table: FailureRates) -> None:
    total = outcome.simulated_seconds
    hours = {str(activity): amount / 1e6 / 3600 for activity, amount in outcome.ledger.items()}
    rows = [("goodput", f"{outcome.goodput:.2%}", f"closed form: {scenario.expected_goodput(table):.2%}")]
    rows += [(name, f"{amount * 3600 / total:.3%}", f"{amount:.1f} h") for name, amount in sorted(hours.items())]
    apart = total / max(1, outcome.interruptions) / 3600
    rows.append(("interruptions", str(outcome.interruptions), f"{apart:.1f} h apart"))
    for name, seconds, what in (
        ("detection", outcome.detect_seconds, "from a fault until it is known, mean"),
        ("recovery", outcome.recovery_seconds, "from a fault to the next step, mean"),
        ("repair", outcome.repair_seconds, "of a node, until it is back in service, mean"),
    ):
        rows.append((name, "-" if seconds is None else f"{seconds:.1f} s", what))
    rows += [(f"action: {name}", str(count), "") for name, count in sorted(outcome.actions.items())]
    rows.append(("false actions", str(outcome.false_actions), "on nodes that had nothing"))
    out = f"{outcome.mean_out:.2f} on average; {scenario.spares} spares, {outcome.isolated} isolated"
    rows.append(("most nodes out at once", str(outcome.most_out), out))
    if outcome.costs is not None:
        lost = outcome.costs.whole - outcome.costs.productive
        rows.append(("costs", f"{outcome.costs.whole:,.0f}", f"of that {lost:,.0f} for all that was not training"))
    rows += [(f"{p.axis} {p.value:g}", f"{p.goodput:.2%}", f"closed form: {p.goodput_closed_form:.2%}") for p in points]
    rows += [(row.run, row.value, f"{row.metric}; {row.source}") for row in table.published]
    print_table(("", "", ""), rows)
