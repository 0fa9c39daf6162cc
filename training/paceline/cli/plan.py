"""`paceline plan`: what a recipe needs on which machines, how long it takes, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paceline.cli.console import Output, OutputOption, print_json, print_table
from paceline.cli.recipe import Name, Overrides, choice
from paceline.spec.errors import PacelineError, ParameterError

if TYPE_CHECKING:
    from paceline.plan.planner import Plan
    from paceline.plan.rate import Rate

_GB = 1e9
_UNKNOWN = "?"


def plan(
    recipe: Name,
    on: Annotated[str | None, typer.Option("--on", metavar="INSTANCE", help="EC2 instance type, or cpu.")] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="How many.", show_default="the fewest that fit")] = None,
    compare: Annotated[
        list[str] | None, typer.Option(metavar="INSTANCE[:NODES]", help="The same beside it. May be repeated.")
    ] = None,
    overrides: Overrides = None,
    calibrate: Annotated[
        Path | None, typer.Option(metavar="RUN_DIR", help="Compute as fast as this run did, and not as published ones.")
    ] = None,
    efficiency: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="Assume this share of the peak while ranks compute.")
    ] = None,
    rates: Annotated[
        str | None, typer.Option(help="Whose failure rate: a row of the catalog.", show_default="llama3 for GPUs")
    ] = None,
    recovery: Annotated[str, typer.Option(help="How the job recovers: a row of the catalog's table.")] = "one-minute",
    storage: Annotated[
        float | None, typer.Option("--storage-gb-per-second", min=0.001, help="Throughput of the checkpoint storage.")
    ] = None,
    price: Annotated[
        float | None, typer.Option("--price-per-hour", min=0, help="Of one node, in any currency.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Plan a run before anything is bought: layouts, memory, time, checkpoints, spares, goodput, cost."""
    from paceline.catalog.failure_rates import failure_rates
    from paceline.heal.policy import load_policy
    from paceline.plan.planner import Question
    from paceline.plan.planner import plan as planned
    from paceline.recipe.load import load
    from paceline.spec.documents import nearest
    from paceline.spec.health import Action

    if calibrate is not None and efficiency is not None:
        raise typer.BadParameter("--calibrate and --efficiency answer the same question: give one")
    table, policy = failure_rates(), load_policy(None)
    for option, given, known in (
        ("--rates", rates, list(table.rates)),
        ("--recovery", recovery, list(table.recoveries)),
    ):
        if given is not None and given not in known:
            raise ParameterError(f"{option} {given}: not in the table of failure rates", nearest(given, known))

    def ask(instance: str | None, nodes: int | None, rate: Rate | None, price: float | None) -> Plan:
        question = Question(
            nodes=nodes,
            rate=rate,
            efficiency=efficiency,
            rates=rates,
            recovery=recovery,
            replace_within=policy.return_within[Action.REPLACE],
            confidence=policy.spare_confidence,
            storage=None if storage is None else storage * _GB,
            price=price,
        )
        return planned(load(recipe, [*choice(instance), *(overrides or ())]), question)

    found = ask(on, nodes, None if calibrate is None else _recorded(calibrate), price)
    others: list[Plan] = []
    refused: dict[str, PacelineError] = {}
    for each in compare or ():
        instance, _, count = each.partition(":")
        if count and not (count.isdigit() and int(count)):
            raise typer.BadParameter(f"--compare {each}: INSTANCE, or INSTANCE:NODES")
        try:
            others.append(ask(instance, int(count) if count else nodes, None, None))
        except PacelineError as cause:
            refused[each] = cause
    if output is Output.JSON:
        whole = found.model_dump(mode="json")
        if compare:
            whole["compared"] = [other.model_dump(mode="json") for other in others]
            whole["refused"] = {each: [p.message for p in error.problems] for each, error in refused.items()}
        print_json(whole)
        return
    _print([found, *others])
    for each, reason in refused.items():
        typer.echo(f"{each}: refused: {reason}", err=True)


def _recorded(run: Path) -> Rate:
    """The rate of a run: of the median of its steps, on the machines and in the layout that its job says."""
    import statistics

    from paceline.journal.reader import read
    from paceline.launch.job import JOB_NAME
    from paceline.plan.hardware import Hardware
    from paceline.plan.layout import derive
    from paceline.plan.rate import recorded
    from paceline.recipe.schema import Recipe
    from paceline.spec.events import StepFinished
    from paceline.spec.job import JobSpec

    try:
        job = JobSpec.model_validate_json((run / JOB_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise ParameterError(
            f"--calibrate {run}: no {JOB_NAME} that can be read", "name the directory of a run"
        ) from cause
    recipe = Recipe.model_validate(job.recipe)
    seconds = [event.seconds for event in read(run / "journal").events if isinstance(event, StepFinished)]
    if not seconds:
        raise ParameterError(f"--calibrate {run}: the run did no step", "name a run that has trained")
    hardware = Hardware.of(recipe.instance) if recipe.instance else Hardware(name="cpu", processes=job.workers_per_node)
    layout, source = derive(recipe, job.world_size), f"median of {len(seconds)} steps of run {job.run}"
    return recorded(recipe, layout, hardware, statistics.median(seconds), job.vocabulary, source)


def _print(plans: list[Plan]) -> None:
    """Figures side by side, layouts below each other; what is not known, to stderr."""
    titles = [f"{each.nodes} x {each.instance}" for each in plans]
    columns = [_figures(each) for each in plans]
    print_table(("", *titles), [(label, *(column[label] for column in columns)) for label in columns[0]])
    for title, each in zip(titles, plans, strict=True):
        typer.echo(f"\nlayouts of {title} that fit, fastest first; the run takes *")
        rows = [
            (
                "*" if layout.chosen else "",
                _degrees(layout.degrees),
                f"{layout.micro_steps} x {layout.micro_sequences}",
                f"{layout.memory_gib_per_rank:.1f}",
                _figure(layout.step_seconds, ".3g"),
            )
            for layout in each.layouts
        ]
        print_table(("", "layout", "passes x sequences", "GiB a rank", "s a step"), rows)
    for title, each in zip(titles, plans, strict=True):
        if each.assumption is not None:
            typer.echo(f"{title}: speed {each.assumption.kind}, {each.assumption.source}", err=True)
        for field, reason in each.unknown.items():
            typer.echo(f"{title}: {field} is not known: {reason}", err=True)


def _figures(each: Plan) -> dict[str, str]:
    parts, of_step = each.memory_gib_per_rank, each.step_seconds_by_part or {}
    largest = sorted((name for name in parts if name != "total"), key=lambda name: -parts[name])[:3]
    waited = [f"{name} {of_step[name]:.2g}" for name in of_step if of_step[name] > 0]
    assumption, checkpoint = each.assumption, each.checkpoint
    return {
        "layout": ", ".join(_degrees(layout.degrees) for layout in each.layouts if layout.chosen),
        "memory": f"{parts['total']:.1f} of {_figure(each.memory_gib_available, '.0f')} GiB a rank",
        "  most of it": ", ".join(f"{name} {parts[name]:.1f}" for name in largest),
        "step": f"{_figure(each.step_seconds, '.3g')} s",
        "  of it": ", ".join(waited) or _UNKNOWN,
        "tokens a day": _figure(each.tokens_per_day, ".3g"),
        "days": f"{_figure(each.days, '.3g')}, with faults {_figure(each.expected_days, '.3g')}",
        "MFU": _figure(each.mfu, ".1%"),
        "  speed": _UNKNOWN if assumption is None else f"{assumption.tflops_per_second:.3g} TFLOP/s a rank",
        "checkpoint": f"{checkpoint.gib:.4g} GiB",
        "  to memory": f"{_figure(checkpoint.to_memory_seconds, '.2g')} s",
        "  to buddy": f"{_figure(checkpoint.to_buddy_seconds, '.2g')} s",
        "  to storage": f"{_figure(checkpoint.to_storage_seconds, '.2g')} s",
        "  durable": f"every {_figure(checkpoint.every_steps, 'd')} steps",
        "spares": _figure(each.spares, "d"),
        "goodput": _figure(each.expected_goodput, ".1%"),
        "graphs to compile": _figure(each.graphs_to_compile, "d"),
        "cost": _figure(each.cost, ",.0f"),
    }


def _figure(value: float | None, form: str) -> str:
    return _UNKNOWN if value is None else format(value, form)


def _degrees(degrees: dict[str, int]) -> str:
    return " ".join(f"{axis} {degree}" for axis, degree in degrees.items())
