"""What the coordinator writes into the journal about a run as a whole: its start, its faults, its generations."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

import paceline
from paceline.journal.writer import Journal
from paceline.spec.events import (
    EVENT,
    ActionDecided,
    AnyEvent,
    CorruptionJudged,
    FaultClassified,
    FaultDetected,
    GenerationOpened,
    RunStarted,
)
from paceline.spec.job import JobSpec
from paceline.supervise.membership import Fault
from paceline.supervise.protocol import Assignment

_VERSIONED = ("torch", "numpy", "safetensors", "tokenizers")


class Herald:
    """The voice of one coordinator; it says nothing twice, nor what its predecessors `told`."""

    def __init__(self, job: JobSpec, journal: Journal, told: Iterable[AnyEvent] = ()) -> None:
        self._job = job
        self._journal = journal
        self._reported = {(event.generation, event.target) for event in told if isinstance(event, FaultDetected)}

    def started(self) -> None:
        """The run begins, or goes on after a stop."""
        job, recipe = self._job, self._job.recipe
        self._journal.emit(
            RunStarted,
            recipe=recipe["name"],
            recipe_sha256=job.recipe_sha256,
            nodes=job.nodes,
            spares=job.spares,
            world_size=job.world_size,
            total_steps=recipe["schedule"]["steps"],
            tokens_per_step=recipe["batch"]["tokens"],
            seed=recipe["seed"],
            dataset=job.dataset,
            versions={
                "paceline": paceline.__version__,
                "python": platform.python_version(),
                **{name: version(name) for name in _VERSIONED},
            },
        )

    def faults(self, generation: int, faults: Sequence[Fault]) -> bool:
        """`faults` broke `generation`; whether they are the first of it, and so the cause."""
        first = generation not in {known for known, _ in self._reported}
        if first and faults and (found := faults[0].corruption) is not None:
            # not by a worker, whose end may come before its word
            said = found.model_dump(exclude={"ranks"})
            self._journal.emit(CorruptionJudged, outcome="convicted", guilty_ranks=found.ranks, **said)
        for fault in faults:
            if (generation, fault.where) not in self._reported:
                said = {"fault": fault.fault, "target": fault.where}
                self._journal.emit(FaultDetected, **said, evidence=fault.evidence, traceback=fault.traceback)
                self._journal.emit(FaultClassified, **said, fault_class=fault.fault_class)
                self._reported.add((generation, fault.where))
        return first and bool(faults)

    def opened(self, assignment: Assignment, previous: Assignment | None, *, lost: tuple[str, ...]) -> None:
        """`assignment` is in force now."""
        self._journal.generation = assignment.generation
        if previous is not None:
            before, after = ({m.node for m in each.members} for each in (previous, assignment))
            target = ", ".join(sorted(after - before)) or ", ".join(m.node for m in assignment.members)
            action = _action(len(after) - len(before), joining=bool(after - before))
            self._journal.emit(ActionDecided, action=action, target=target, reason=assignment.cause)
        self._journal.emit(
            GenerationOpened,
            ranks={m.node: m.first_rank for m in assignment.members},
            world_size=assignment.world_size,
            cause=assignment.cause,
            lost_nodes=lost,
            restore_from=assignment.restore.source,
            restore_step=assignment.restore.step,
        )


def _action(growth: int, *, joining: bool) -> str:
    if growth:
        return "grow" if growth > 0 else "shrink"
    return "promote spare" if joining else "restart workers"


def told_before(journal: Path) -> list[AnyEvent]:
    """What the coordinators of a run have written so far, but for a last line that one did not finish."""
    path = journal / "coordinator.jsonl"
    told: list[AnyEvent] = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with contextlib.suppress(ValidationError):
            told.append(EVENT.validate_json(line))
    return told


def next_generation(told: Iterable[AnyEvent]) -> int:
    """One above all generations that coordinators have opened: they wrote that before they told anybody.

    A successor may not have heard yet from the nodes that follow the newest.
    """
    return 1 + max((event.generation or 0 for event in told if isinstance(event, GenerationOpened)), default=-1)


def since_start(told: Sequence[AnyEvent]) -> Sequence[AnyEvent]:
    """Of `told`, what came after the run was started for the last time."""
    starts = [index for index, event in enumerate(told) if isinstance(event, RunStarted)]
    return told[starts[-1] :] if starts else told
