"""`paceline controller`: take sick nodes out, mend them, test them, and let them back."""

from __future__ import annotations

import signal
import threading
from datetime import timedelta
from typing import Annotated

import typer

from paceline.cli.fleet import (
    Api,
    Cluster,
    Evidence,
    JournalPlace,
    Kind,
    PolicyFile,
    Region,
    Root,
    Team,
    Upstream,
    evidence_place,
    journal_place,
    where,
)
from paceline.spec.names import METRICS_PORT


def controller(
    kind: Kind = None,
    provider: Upstream = None,
    team: Team = "",
    root: Root = None,
    cluster: Cluster = None,
    region: Region = None,
    api: Api = None,
    policy: PolicyFile = None,
    evidence: Evidence = "",
    journal: JournalPlace = None,
    period: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at the fleet.")] = 5.0,
    metrics_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of /metrics; 0 takes a free one.")] = (
        METRICS_PORT
    ),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide and tell, touch nothing.")] = False,
) -> None:
    """Heal a fleet until told to stop. Killed at any point and started again, it goes on where it was."""
    from paceline.clients.object_store import open_store
    from paceline.heal.controller import Controller
    from paceline.heal.fleets.registry import open_fleet
    from paceline.heal.healer import Healer
    from paceline.heal.memory import Memory
    from paceline.heal.policy import load_policy
    from paceline.journal.exposition import MetricsServer
    from paceline.journal.writer import Journal
    from paceline.spec.errors import ParameterError
    from paceline.spec.events import now

    rules = load_policy(policy)
    place = where(kind, provider, team, root, cluster, region, api)
    fleet, lease = open_fleet(place, rules)
    store = open_store(evidence_place(evidence), ParameterError)
    directory = journal_place(journal)
    events = Journal(directory, run=place.team or "fleet", producer="controller")

    def raise_healer() -> Healer:
        memory = Memory(store, now() - timedelta(seconds=rules.remember))
        return Healer(fleet, policy=rules, memory=memory, store=store, tell=events.emit, dry_run=dry_run)

    def say(text: str) -> None:
        typer.echo(f"controller: {text}", err=True)

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with MetricsServer(metrics_port) as server:
        say(f"{place.kind} fleet, metrics on port {server.port}, events in {directory}")
        if store.uri.startswith("file://") and place.kind == "kubernetes":
            say("warning: evidence and memory are in this pod and end with it; give --evidence s3://BUCKET/PREFIX")

        def show(text: str) -> None:
            server.text = text

        process = Controller(
            team=place.team, lease=lease, raise_healer=raise_healer, period=period, now=now, say=say, show=show
        )
        process.run(stop)
    events.close()
    say("stopped")
