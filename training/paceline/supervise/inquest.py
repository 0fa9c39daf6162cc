"""From "nothing moves" to a verdict: ask every member what its ranks are at, judge it, keep it as evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from paceline.journal.writer import Journal
from paceline.spec.events import HangJudged, RankStanding
from paceline.spec.job import Timeouts
from paceline.supervise.hang import HangWatch
from paceline.supervise.meeting import waits_in
from paceline.supervise.membership import Fault, NodeView
from paceline.supervise.progress import Phase
from paceline.supervise.protocol import Assignment, Inspection, RankEvidence, WorkersStatus
from paceline.supervise.verdict import STORAGE_STALLED, Verdict, judge

_PATIENCE_SECONDS = 3.0  # a node whose supervisor is stuck too does not answer


class Inquest:
    """The hangs of one run. Evidence goes into files below `directory`."""

    def __init__(self, timeouts: Timeouts, journal: Journal, directory: Path, clock: Callable[[], float]) -> None:
        self._watch = HangWatch(timeouts, clock)
        self._journal = journal
        self._directory = directory
        self._clock = clock
        self._asked: float | None = None
        self._judged: dict[int, Fault] = {}
        self._waiting_for_storage = False
        self.inspect: int | None = None

    def faults(self, assignment: Assignment, views: Mapping[str, NodeView]) -> list[Fault]:
        """The hang that ends `assignment`'s generation, once it is judged; `inspect` is the generation whose members
        are to be asked meanwhile."""
        generation = assignment.generation
        if generation in self._judged:
            return [self._judged[generation]]
        statuses = [views[m.node].status for m in assignment.members if m.node in views]
        workers = [s.workers for s in statuses if s.workers is not None]
        whole = len(workers) == len(assignment.members)
        idle = self._watch.stalled(generation, workers) if whole else None
        if idle is None or self._waiting_for_storage:
            self.inspect = self._asked = None
            self._waiting_for_storage = self._waiting_for_storage and idle is not None
            return []
        if self._asked is None:
            self.inspect, self._asked = generation, self._clock()
        answers = {
            s.node: s.inspection for s in statuses if s.inspection is not None and s.inspection.generation == generation
        }
        if len(answers) < len(statuses) and self._clock() - self._asked < _PATIENCE_SECONDS:
            return []
        evidence = [e for s in statuses if s.workers is not None for e in _evidence(s.node, s.workers, answers)]
        self.inspect = self._asked = None
        verdict = self._judge(generation, idle, evidence)
        if verdict.fault_class == STORAGE_STALLED and verdict.node is None:
            self._waiting_for_storage = True  # a restart would wait for the same storage
            return []
        words = f"no progress for {idle:.1f} s: {verdict.reason}"
        self._judged[generation] = Fault(
            node=verdict.node, fault="hang", fault_class=verdict.fault_class, evidence=words
        )
        return [self._judged[generation]]

    def _judge(self, generation: int, idle: float, evidence: Sequence[RankEvidence]) -> Verdict:
        verdict = judge(evidence)
        self._journal.emit(
            HangJudged,
            fault_class=verdict.fault_class,
            guilty_node=verdict.node,
            guilty_rank=verdict.rank,
            reason=verdict.reason,
            idle_seconds=idle,
            threshold_seconds=self._watch.threshold,
            standings=tuple(_standing(e) for e in evidence),
            evidence=self._keep(generation, evidence),
        )
        return verdict

    def _keep(self, generation: int, evidence: Sequence[RankEvidence]) -> str | None:
        """Write the whole evidence to a file; its path, or None when there is no room for it."""
        path = self._directory / f"hang-generation-{generation:04d}.json"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(Inspection(generation=generation, ranks=tuple(evidence)).model_dump_json(indent=1))
        except OSError:
            return None
        return str(path)


def _evidence(node: str, workers: WorkersStatus, answers: Mapping[str, Inspection]) -> Sequence[RankEvidence]:
    """What the node answered, or at least where its ranks are."""
    if node in answers:
        return answers[node].ranks
    return [RankEvidence(**r.model_dump(), node=node, process_state=None, stacks="") for r in workers.ranks]


def _standing(evidence: RankEvidence) -> RankStanding:
    return RankStanding(
        rank=evidence.rank,
        node=evidence.node,
        step=evidence.step,
        phase=Phase(evidence.phase).name.lower(),
        process_state=evidence.process_state,
        collective=waits_in(evidence),
    )
