"""`paceline heal`: what the healer would do, what it is doing, and a person's leave for a node to come back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paceline.cli.console import Output, OutputOption, print_json, print_table
from paceline.cli.fleet import (
    Api,
    Cluster,
    JournalPlace,
    Kind,
    PolicyFile,
    Region,
    Root,
    Team,
    Upstream,
    journal_place,
    where,
)

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Healing of nodes.")


@app.command("explain")
def explain(
    file: Annotated[
        Path, typer.Argument(metavar="FAULT.json", help="A finding, or a finding with its past and fleet.")
    ],
    policy: PolicyFile = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say what would be done about a fault, and why. Asks no cluster."""
    from paceline.heal.explain import explain as explained
    from paceline.heal.explain import read_incident
    from paceline.heal.policy import load_policy

    answer = explained(read_incident(file), load_policy(policy))
    if output is Output.JSON:
        print_json(answer.plain())
        return
    rows = [("verdict", answer.verdict), ("action", answer.action), ("rule", answer.rule), ("reason", answer.reason)]
    rows += [("tests", " -> ".join(answer.tests) or "none")]
    if answer.fault:
        rows += [("fault", f"{answer.fault.code} {answer.fault.name}: {answer.fault.description}")]
        rows += [("source", source) for source in answer.fault.sources]
        rows += [(f"says {who}", what) for who, what in answer.fault.others.items()]
    print_table(("", ""), rows)


@app.command("status")
def status(
    kind: Kind = None,
    provider: Upstream = None,
    team: Team = "",
    root: Root = None,
    cluster: Cluster = None,
    region: Region = None,
    api: Api = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List the nodes that are out: since when, how far, why."""
    from paceline.heal.fleets.registry import open_fleet
    from paceline.heal.policy import load_policy

    fleet, _ = open_fleet(where(kind, provider, team, root, cluster, region, api), load_policy())
    nodes = fleet.nodes()
    cases = [node.case for node in nodes if node.case]
    if output is Output.JSON:
        print_json({"nodes": len(nodes), "cases": [case.model_dump(mode="json") for case in cases]})
        return
    rows = [
        (case.node, str(case.phase), case.action.name.lower(), case.rung or "", f"{case.opened:%F %T}", case.reason)
        for case in cases
    ]
    print_table(("node", "phase", "action", "test", "out since (UTC)", "reason"), rows)
    typer.echo(f"{len(cases)} of {len(nodes)} nodes are out", err=True)


@app.command("history")
def history(
    node: Annotated[str | None, typer.Argument(metavar="NODE", help="A node; all of them if not given.")] = None,
    journal: JournalPlace = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print what happened to nodes: what was found, decided, done and tested, in the order of time."""
    from paceline.journal.reader import read
    from paceline.journal.sentences import sentence
    from paceline.spec.documents import nearest
    from paceline.spec.errors import JournalError
    from paceline.spec.events import ActionDecided, ActionFinished, ActionStarted, FaultDetected

    place = journal_place(journal)
    told = (FaultDetected, ActionDecided, ActionStarted, ActionFinished)
    events = [event for event in read(place).events if isinstance(event, told)]
    names = {event.node for event in events if event.node}
    if node is not None and node not in names:
        raise JournalError(f"{place}: nothing is told of {node}", nearest(node, sorted(names)) if names else None)
    shown = [event for event in events if node in (None, event.node)]
    if output is Output.JSON:
        print_json([event.model_dump(mode="json", exclude_none=True) for event in shown])
        return
    rows = [(f"{event.time:%F %T}", event.node or "", sentence(event)) for event in shown]
    print_table(("time (UTC)", "node", "what happened"), rows)


@app.command("readmit")
def readmit(
    node: Annotated[str, typer.Argument(metavar="NODE", help="A node that is isolated.")],
    kind: Kind = None,
    provider: Upstream = None,
    team: Team = "",
    root: Root = None,
    cluster: Cluster = None,
    region: Region = None,
    api: Api = None,
) -> None:
    """Let an isolated node try the tests again; it comes back when it passes them all."""
    from paceline.heal.case import readmitted
    from paceline.heal.fleets.registry import open_fleet
    from paceline.heal.policy import load_policy
    from paceline.spec.documents import nearest
    from paceline.spec.errors import ClusterError
    from paceline.spec.events import now
    from paceline.spec.healing import Phase

    fleet, _ = open_fleet(where(kind, provider, team, root, cluster, region, api), load_policy())
    nodes = {found.name: found for found in fleet.nodes()}
    isolated = [name for name, found in nodes.items() if found.case and found.case.phase is Phase.ISOLATED]
    case = nodes[node].case if node in isolated else None
    if case is None:
        hint = nearest(node, isolated) if isolated else "no node is isolated"
        raise ClusterError(f"{node}: not an isolated node", hint)
    fleet.write(node, readmitted(case, now()))
    typer.echo(f"{node}: the controller tests it now", err=True)
