"""`paceline simulate`: how a run would fare on many accelerators, with the code that heals real ones."""

from __future__ import annotations

from typing import Annotated

import typer

from paceline.cli.console import Output, OutputOption, print_json, print_table
from paceline.cli.fleet import PolicyFile
from paceline.spec.errors import ParameterError


def simulate(
    accelerators: Annotated[int, typer.Option(min=8, help="Accelerators of the job; 8 are a node.")],
    days: Annotated[float, typer.Option(min=0.001, help="How long it runs.")],
    spares: Annotated[
        int | None, typer.Option(min=0, help="Nodes that stand by.", show_default="as many as the healer wants")
    ] = None,
    rates: Annotated[str, typer.Option(help="Whose failure rate: a row of the catalog's table.")] = "llama3",
    recovery: Annotated[str, typer.Option(help="How jobs recover: a row of the catalog's table.")] = "one-minute",
    seed: Annotated[int, typer.Option(help="Of all chance. The same seed gives the same result.")] = 0,
    policy: PolicyFile = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Run a job for days of virtual time and print its goodput, where the rest went, and what others have published."""
    from paceline.catalog.failure_rates import failure_rates
    from paceline.heal.policy import load_policy
    from paceline.heal.spares import spares_wanted
    from paceline.plan.closed_forms import by_kind
    from paceline.simulate.run import Simulation
    from paceline.simulate.scenario import ACCELERATORS_PER_NODE, Scenario
    from paceline.spec.documents import nearest

    table, rules = failure_rates(), load_policy(policy)
    if accelerators % ACCELERATORS_PER_NODE:
        below = accelerators - accelerators % ACCELERATORS_PER_NODE
        hint = f"say {below} or {below + ACCELERATORS_PER_NODE}"
        raise ParameterError(f"--accelerators {accelerators}: the rates are those of nodes of 8", hint)
    for option, given, known in (
        ("--rates", rates, list(table.rates)),
        ("--recovery", recovery, list(table.recoveries)),
    ):
        if given not in known:
            raise ParameterError(f"{option} {given}: not in the table of failure rates", nearest(given, known))
    nodes = accelerators // ACCELERATORS_PER_NODE
    rate = table.rates[rates].per_1000_node_days
    rules = rules.model_copy(update={"failures_per_1000_node_days": rate})
    ready = spares_wanted(nodes, rules) if spares is None else spares
    scenario = Scenario(nodes=nodes, days=days, spares=ready, rates=rates, recovery=recovery, seed=seed)
    outcome = Simulation(scenario, rules).run()
    expected = by_kind(nodes, rate, table.recoveries[recovery], table)
    ledger = {str(activity): amount / 1e6 for activity, amount in outcome.ledger.items()}
    if output is Output.JSON:
        print_json(
            {
                "goodput": outcome.goodput,
                "goodput_closed_form": expected,
                "ledger": ledger,
                "interruptions": outcome.interruptions,
                "interruptions_by_cause": outcome.by_cause,
                "actions": outcome.actions,
                "false_actions": outcome.false_actions,
                "most_out": outcome.most_out,
                "isolated": outcome.isolated,
                "scenario": scenario.model_dump(),
                "simulated_seconds": outcome.simulated_seconds,
                "wall_seconds": outcome.wall_seconds,
                "published": [row.model_dump() for row in table.published],
            }
        )
        return
    total = outcome.simulated_seconds
    rows = [("goodput", f"{outcome.goodput:.2%}", f"closed form: {expected:.2%}")]
    rows += [(name, f"{seconds / total:.3%}", f"{seconds / 3600:.1f} h") for name, seconds in sorted(ledger.items())]
    rows += [
        ("interruptions", str(outcome.interruptions), f"{total / max(1, outcome.interruptions) / 3600:.1f} h apart")
    ]
    rows += [(f"action: {name}", str(count), "") for name, count in sorted(outcome.actions.items())]
    rows += [("most nodes out at once", str(outcome.most_out), f"{ready} spares, {outcome.isolated} isolated")]
    rows += [(row.run, row.value, f"{row.metric}; {row.source}") for row in table.published]
    print_table(("", "", ""), rows)
    typer.echo(f"{recovery}: {table.recoveries[recovery].meaning}; simulated in {outcome.wall_seconds:.1f} s", err=True)
