"""Spares that work for others heal the run as idle ones do, and nothing of their borrowers is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paceline.data.index import TokenDataset
from paceline.data.verify import read_consumed, read_run, verify_run
from paceline.launch.local.run import LocalRun
from paceline.spec.events import AnyEvent, CheckpointRestored, GenerationOpened, SpareLent, SpareReturned, StepFinished
from paceline.supervise.lending import LOG_NAME
from paceline.supervise.process import process_state

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

# Two processes that never hear SIGTERM, one of them in a session of its own.
BORROWER = "trap '' TERM; for begin in exec setsid; do $begin sh -c 'echo $$; while :; do sleep 0.1; done' & done; wait"


def borrowers(directory: Path, node: str) -> list[int]:
    log = directory / "nodes" / node / LOG_NAME
    return [int(line) for line in log.read_text().splitlines()] if log.is_file() else []


def test_a_lent_spare_takes_over_from_memory_and_nothing_of_its_borrower_is_left(
    train: Callable[..., Any], dataset: Path
) -> None:
    """One spare is reclaimed for the generation after the blow, the other one is lent to the end of the run."""
    struck: list[str] = []
    seen: dict[int, str] = {}

    def strike_when_both_are_lent(run: LocalRun, event: AnyEvent) -> None:
        if isinstance(event, GenerationOpened):
            seen.update({rank: node for node, rank in event.ranks.items()})
        spares = set(run.nodes) - set(seen.values())
        under_way = isinstance(event, StepFinished) and event.step >= 5
        if not struck and under_way and all(len(borrowers(run.directory, node)) == 2 for node in spares):
            struck.append(seen[1])
            run.kill_node(seen[1])

    outcome = train(
        "lent",
        spares=2,
        lend=("sh", "-c", BORROWER),
        on_event=strike_when_both_are_lent,
        overrides=["schedule.steps=2000"],
        stop_after=1,
    )

    assert outcome.finished.outcome == "stopped"
    first, second = outcome.of(GenerationOpened)
    assert second.lost_nodes == tuple(struck) and second.restore_from == "memory"
    assert {event.source for event in outcome.of(CheckpointRestored)} == {"memory"}
    [promoted] = set(second.ranks) - set(first.ranks)
    lent = {event.node for event in outcome.of(SpareLent)}
    assert len(lent) == 2 and promoted in lent
    returned = {event.node: event.outcome for event in outcome.of(SpareReturned)}
    assert returned[promoted] == "reclaimed"
    processes = [pid for node in lent for pid in borrowers(outcome.directory, node)]
    assert len(processes) == 4 and [process_state(pid) for pid in processes] == [None] * 4
    record = read_run(outcome.directory)
    data = TokenDataset.open(dataset, sequence_length=record.sequence_length, verify=True)
    states = [outcome.repository.manifest(step).trainer for step in outcome.repository.steps()]
    report = verify_run(data, record, list(read_consumed(outcome.directory)), states)
    assert (report.difference, report.steps) == (None, outcome.finished.step)
