"""Where the ranks of a generation wait for each other, and who has not come. Pure functions of the evidence.

Stacks say in which function a rank waits. Flight recorders say more: in which collective of which group, by a number
that all its ranks share, and which ranks have not entered it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from paceline.supervise.flight_record import Collective
from paceline.supervise.protocol import RankEvidence
from paceline.supervise.stacks import collective

_ALL_RANKS = "default_pg"  # torch's description of the group of all ranks
# in all others the ranks' inputs are of one size (torch/distributed/flight_recorder/components/types.py)
_UNEQUAL = ("all_to_all", "scatter")
_LISTED = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Meeting:
    """A collective that a rank waits in, as that rank called it."""

    group: str
    description: str
    called: Collective

    def __str__(self) -> str:
        called = self.called
        sized = called.elements and not called.name.partition(":")[2].startswith(_UNEQUAL)
        given = f" ({called.elements} x {called.dtype})" if sized else ""
        return f"{called.name} #{called.number} of {self.description}{given}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Absence:
    """The ranks `absent` have not come to `meeting`, where the ranks `waiting` are."""

    absent: tuple[RankEvidence, ...]
    waiting: tuple[int, ...]
    meeting: Meeting

    def __str__(self) -> str:
        wait = "waits" if len(self.waiting) == 1 else "wait"
        return f"it has not come to {self.meeting}, where {name_ranks(self.waiting)} {wait}"


def waits_in(evidence: RankEvidence) -> str | None:
    """The collective that the rank waits in, by its recorder, or else the function by its stacks; None: in none."""
    meeting = next(_meetings(evidence), None)
    return str(meeting) if meeting is not None else collective(evidence.stacks)


def absence(evidence: Sequence[RankEvidence]) -> Absence | None:
    """Who keeps others waiting, and waits in no recorded collective himself; None where the recorders cannot tell.

    One who waits by his stacks, for a message of a single rank that is, is named only if nobody is on his own.
    """
    waits = {e.rank: waits_in(e) is not None for e in evidence}
    free = [e for e in evidence if next(_meetings(e), None) is None and (all(waits.values()) or not waits[e.rank])]
    for meeting in (meeting for e in evidence for meeting in _meetings(e)):
        absent = tuple(e for e in free if _has_not_come(e, meeting))
        if absent:
            waiting = tuple(e.rank for e in evidence if any(_are_one(meeting, m) for m in _meetings(e)))
            return Absence(absent=absent, waiting=waiting, meeting=meeting)
    return None


def name_ranks(ranks: Collection[int]) -> str:
    """`rank 1`, `ranks 1, 2`; of many only how many."""
    if len(ranks) > _LISTED:
        return f"{len(ranks)} ranks"
    return f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, sorted(ranks)))}"


def _meetings(evidence: RankEvidence) -> Iterator[Meeting]:
    for record in evidence.groups or ():
        if record.pending is not None:
            yield Meeting(group=record.group, description=record.description, called=record.pending)


def _are_one(one: Meeting, other: Meeting) -> bool:
    return (one.group, one.called.number) == (other.group, other.called.number)


def _has_not_come(evidence: RankEvidence, meeting: Meeting) -> bool:
    """Also if it has never called anything in the group of all ranks; of other groups it need not be a member."""
    if evidence.groups is None:
        return False
    entered = [record.entered for record in evidence.groups if record.group == meeting.group]
    if not entered:
        return meeting.description == _ALL_RANKS
    return entered[0] < meeting.called.number
