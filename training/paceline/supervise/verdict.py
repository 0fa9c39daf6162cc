"""The hang verdict: who holds up a generation in which nothing moves, and why. A pure function of the evidence.

Ranks run in step, so whoever is not where the others are is looked at first. One that waits in a collective waits for
somebody else: the guilty rank is the one that is furthest behind and does not wait. When every rank waits, the
collective itself is dead-locked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from paceline.supervise.progress import Phase
from paceline.supervise.protocol import RankEvidence
from paceline.supervise.stacks import collective, innermost

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
    furthest_back = min(_position(e) for e in evidence)
    behind = [e for e in evidence if _position(e) == furthest_back]
    active = [e for e in behind if collective(e.stacks) is None]
    if not active:
        return _deadlock(evidence, behind)
    phase = active[0].phase
    everybody = len(active) == len(evidence) and len(evidence) > 1
    if phase in (Phase.BUILD, Phase.RESTORE):
        return _convict(START_STALLED, active, f"it never left phase {_name(phase)}")
    if phase == Phase.DATA:
        why = f"it waits for its data{_where(active[0])}"
        if everybody:
            reason = "every rank waits for its data: the storage they share is stalled"
            return Verdict(fault_class=STORAGE_STALLED, node=None, rank=None, reason=reason)
        return _convict(STORAGE_STALLED, active, why)
    if phase == Phase.FENCE:
        why = "its snapshot has no second copy: its buddy, or the way to it, is stalled"
        return _convict(CHECKPOINT_STALLED, active, why)
    return _convict(USER_CODE_STUCK, active, f"it waits for nobody and does not go on{_where(active[0])}")


def _deadlock(evidence: Sequence[RankEvidence], behind: Sequence[RankEvidence]) -> Verdict:
    """Every rank that is behind waits in a collective. Whoever called another one than most is named."""
    called = Counter(name for e in evidence if (name := collective(e.stacks)) is not None)
    usual, times = called.most_common(1)[0]
    odd = [e for e in evidence if collective(e.stacks) not in (usual, None)]
    if odd and 2 * times > len(evidence):
        why = f"it waits in {collective(odd[0].stacks)}, the others in {usual}"
        return _convict(COLLECTIVE_DEADLOCKED, odd, why)
    if len(behind) < len(evidence):
        why = f"it waits in {collective(behind[0].stacks)} while the others are further"
        return _convict(COLLECTIVE_DEADLOCKED, behind, why)
    names = " and ".join(sorted(called))
    reason = f"every rank waits in {names} at the same place: the network between them, or a device, is stalled"
    return Verdict(fault_class=COLLECTIVE_DEADLOCKED, node=None, rank=None, reason=reason)


def _convict(fault_class: str, guilty: Sequence[RankEvidence], why: str) -> Verdict:
    first = min(guilty, key=lambda e: e.rank)
    others = sorted(e.rank for e in guilty if e is not first)
    also = f" (ranks {', '.join(map(str, others))} too)" if others else ""
    reason = f"rank {first.rank} at step {first.step}, phase {_name(first.phase)}: {why}{also}"
    return Verdict(fault_class=fault_class, node=first.node, rank=first.rank, reason=reason)


def _position(evidence: RankEvidence) -> tuple[int, int]:
    return evidence.step, evidence.phase


def _where(evidence: RankEvidence) -> str:
    frame = innermost(evidence.stacks)
    state = ", in the kernel, for a device" if evidence.process_state == "D" else ""
    return f", in {frame}{state}" if frame is not None else state


def _name(phase: int) -> str:
    return Phase(phase).name.lower().replace("_", " ")
