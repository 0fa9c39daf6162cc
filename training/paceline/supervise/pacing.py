"""What becomes of stragglers: they are told, and, if the recipe wants it, their nodes give way to spares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from paceline.journal.writer import Journal
from paceline.spec.events import AnyEvent, StragglerFound
from paceline.supervise.membership import NodeView
from paceline.supervise.protocol import Assignment
from paceline.supervise.straggler import StragglerWatch


class Pacing:
    """The stragglers of one run; `unwanted` are the nodes that should be replaced."""

    def __init__(self, action: Literal["report", "replace"], journal: Journal) -> None:
        self._replaces = action == "replace"
        self._journal = journal
        self._watch = StragglerWatch()
        self.unwanted: frozenset[str] = frozenset()

    def recall(self, told: Iterable[AnyEvent]) -> None:
        """Take over what a predecessor told."""
        if self._replaces:
            self.unwanted |= {event.slow_node for event in told if isinstance(event, StragglerFound)}

    def look(self, assignment: Assignment, views: Mapping[str, NodeView]) -> None:
        """Take note of what the members of a generation that is well report."""
        workers = [views[m.node].status.workers for m in assignment.members if m.node in views]
        for slow in self._watch.found(assignment.generation, [w for w in workers if w is not None]):
            node = assignment.members[slow.rank // assignment.workers_per_node].node
            self._journal.emit(
                StragglerFound,
                slow_rank=slow.rank,
                slow_node=node,
                phase=slow.phase,
                factor=slow.factor,
                seconds=slow.seconds,
                peers_seconds=slow.peers_seconds,
                steps=slow.steps,
            )
            if self._replaces:
                self.unwanted |= {node}
