"""The hang verdict: who holds up a generation in which nothing moves, and why. A pure function of the evidence.

Flight recorders say who has not come to a collective that others wait in (meeting.py). Where they cannot tell, whoever
is not where the others are is looked at first, since ranks run in step. One that waits in a collective waits for
somebody else: the guilty rank is the one that is furthest behind and does not wait. When every rank waits, the
collective itself is dead-locked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from paceline.supervise.meeting import absence, name_ranks, waits_in
from paceline.supervise.progress import Phase
from paceline.supervise.protocol import RankEvidence
from paceline.supervise.stacks import innermost

WORKER_STOPPED = "worker_stopped"
STORAGE_STALLED = "storage_stalled"
COLLECTIVE_DEADLOCKED = "collective_deadlocked"
CHECKPOINT_STALLED = "checkpoint_stalled"
USER_CODE_STUCK = "user_code_stuck"
START_STALLED = "start_stalled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """`fault_class` is what it is; `node` and `rank` are None where the evidence names nobody."""

    fault_class: str
    node: str | None
    rank: int | None
    reason: str


def judge(evidence: Sequence[RankEvidence]) -> Verdict:
    """The verdict over all ranks that answered. `evidence` is not empty."""
    stopped = [e for e in evidence if e.process_state in ("T", "t")]
    if stopped:
        return _convict(WORKER_STOPPED, stopped[:1], "its process is stopped")
    missing = absence(evidence)
    if missing is not None:
        return _accuse(missing.absent, f"; {missing}")
    furthest_back = min(_position(e) for e in evidence)
    behind = [e for e in evidence if _position(e) == furthest_back]
    active = [e for e in behind if waits_in(e) is None]
    if not active:
        return _deadlock(evidence, behind)
    if active[0].phase == Phase.DATA and len(active) == len(evidence) > 1:
        reason = "every rank waits for its data: the storage they share is stalled"
        return Verdict(fault_class=STORAGE_STALLED, node=None, rank=None, reason=reason)
    return _accuse(active)


def _accuse(guilty: Sequence[RankEvidence], besides: str = "") -> Verdict:
    """The ranks that hold up all others, by what they are at."""
    first = guilty[0]
    if (called := waits_in(first)) is not None:
        return _convict(COLLECTIVE_DEADLOCKED, guilty, f"it waits in {called}", besides)
    if first.phase in (Phase.BUILD, Phase.RESTORE):
        return _convict(START_STALLED, guilty, f"it never left phase {_name(first.phase)}", besides)
    if first.phase == Phase.DATA:
        return _convict(STORAGE_STALLED, guilty, f"it waits for its data{_where(first)}", besides)
    if first.phase == Phase.FENCE:
        why = "its snapshot has no second copy: its buddy, or the way to it, is stalled"
        return _convict(CHECKPOINT_STALLED, guilty, why, besides)
    return _convict(USER_CODE_STUCK, guilty, f"it waits for nobody and does not go on{_where(first)}", besides)


def _deadlock(evidence: Sequence[RankEvidence], behind: Sequence[RankEvidence]) -> Verdict:
    """Every rank that is behind waits in a collective. Whoever called another one than most is named."""
    called = Counter(name for e in evidence if (name := waits_in(e)) is not None)
    usual, times = called.most_common(1)[0]
    odd = [e for e in evidence if waits_in(e) not in (usual, None)]
    if odd and 2 * times > len(evidence):
        return _convict(COLLECTIVE_DEADLOCKED, odd, f"it waits in {waits_in(odd[0])}, the others in {usual}")
    if len(behind) < len(evidence):
        why = f"it waits in {waits_in(behind[0])} while the others are further"
        return _convict(COLLECTIVE_DEADLOCKED, behind, why)
    if odd:
        places = [f"{name_ranks([e.rank for e in evidence if waits_in(e) == name])} in {name}" for name in called]
        reason = f"the ranks wait for each other in different collectives: {'; '.join(places)}"
    else:
        reason = f"every rank waits in {usual} at the same place: the network between them, or a device, is stalled"
    return Verdict(fault_class=COLLECTIVE_DEADLOCKED, node=None, rank=None, reason=reason)


def _convict(fault_class: str, guilty: Sequence[RankEvidence], why: str, besides: str = "") -> Verdict:
    first = min(guilty, key=lambda e: e.rank)
    others = [e.rank for e in guilty if e is not first]
    also = f" ({name_ranks(others)} too)" if others else ""
    reason = f"rank {first.rank} at step {first.step}, phase {_name(first.phase)}: {why}{also}{besides}"
    return Verdict(fault_class=fault_class, node=first.node, rank=first.rank, reason=reason)


def _position(evidence: RankEvidence) -> tuple[int, int]:
    return evidence.step, evidence.phase


def _where(evidence: RankEvidence) -> str:
    frame = innermost(evidence.stacks)
    state = ", in the kernel, for a device" if evidence.process_state == "D" else ""
    return f", in {frame}{state}" if frame is not None else state


def _name(phase: int) -> str:
    return Phase(phase).name.lower().replace("_", " ")
