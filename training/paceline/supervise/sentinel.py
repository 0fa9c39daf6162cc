"""The corruption sentinel's decisions, pure: from what all ranks testify about a step to who is wrong.

Ranks are witnesses. What must be equal and is not is a suspicion; a step that is suspected is taken again from its
snapshot with more witnesses, and the votes of both times convict. A rank whose own memory changed convicts itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from paceline.engines.watch import Testimony
from paceline.plan.layout import Layout

Testimonies = Sequence[Testimony]


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """`convicted`: the step's results are of no use, because of `ranks`, or of somebody who cannot be named.
    `reproduced`: the step gave the same again, so what it gave is right. `irreproducible`: no rank agrees even with
    itself, which says nothing about any of them."""

    outcome: Literal["convicted", "reproduced", "irreproducible"]
    reason: str
    ranks: tuple[int, ...] = ()


def partner(layout: Layout, rank: int, distance: int) -> int:
    """The rank in the same place of the data rank that is `distance` before that of `rank`: whose passes it
    recomputes."""
    width = layout.cp * layout.tp
    stage, within = divmod(rank, width * layout.data_ranks)
    data_rank = (within // width - distance) % layout.data_ranks
    return (stage * layout.data_ranks + data_rank) * width + rank % width


def judge_state(testimonies: Testimonies, layout: Layout) -> Judgement | None:
    """Whether what the ranks held before the step was right; None if nothing speaks against it."""
    altered = tuple(rank for rank, said in enumerate(testimonies) if said.altered)
    if altered:
        what = "parameters or optimizer state changed between two updates"
        if len(altered) == len(testimonies) > 1:
            return _convicted((), f"{what} on all ranks at once: that is code which writes into them, no device")
        return _convicted(altered, f"{_ranks(altered)}: {what}")
    for replicas in _replicas(layout):
        values = Counter(testimonies[rank].state for rank in replicas)
        if len(values) > 1:
            value, count = values.most_common(1)[0]
            odd = tuple(rank for rank in replicas if testimonies[rank].state != value)
            if 2 * count > len(replicas):
                return _convicted(odd, f"{_ranks(odd)}: state differs from that of the {count} other replicas")
            return _convicted((), f"{_ranks(replicas)} hold replicas that differ, and there is no majority")
    return None


def suspect_work(testimonies: Testimonies, layout: Layout) -> str | None:
    """Why the work of the step should be looked at again: a rank and the partner that recomputed it differ."""
    for rank, said in enumerate(testimonies):
        owner = partner(layout, rank, 1)
        if said.partners[0] and said.partners[0] != testimonies[owner].passes:
            return f"rank {rank} recomputed the passes of rank {owner}, with another result"
    return None


def judge_work(first: Testimonies, again: Testimonies, layout: Layout) -> Judgement:
    """Who was wrong, after the step was taken again from the same state with all partners recomputing.

    Every part of the batch was computed by its own rank twice and by up to two partners; what most of these say is
    true. The first time may have gone without partners: then only its losses can be compared.
    """
    ranks = range(len(first))
    repeats = [first[r].loss == again[r].loss and first[r].passes in (0, again[r].passes) for r in ranks]
    if not any(repeats):
        reason = "no rank gives the same twice: its kernels are not deterministic, and recomputing can tell nothing"
        return Judgement(outcome="irreproducible", reason=reason)
    liars: set[int] = set()
    undecided: list[int] = []
    for owner in ranks:
        votes = _votes(owner, first, again, layout)
        (value, count), *others = Counter(value for _, value in votes).most_common()
        if others and others[0][1] == count:
            undecided.append(owner)
            continue
        liars.update(voter for voter, voted in votes if voted != value)
        if first[owner].loss != again[owner].loss:
            liars.add(owner)
    if liars:
        found = tuple(sorted(liars))
        return _convicted(found, f"{_ranks(found)}: the same passes from the same state gave others a different result")
    if undecided:
        return _convicted((), f"passes of {_ranks(undecided)} gave different results, and there is no majority")
    return Judgement(outcome="reproduced", reason="every rank and its partners gave the same again")


def _votes(owner: int, first: Testimonies, again: Testimonies, layout: Layout) -> list[tuple[int, int]]:
    """(rank, value) for everything that was computed of the passes of `owner`."""
    votes = [(owner, said[owner].passes) for said in (first, again)]
    for voter in range(len(first)):
        for distance in (1, 2):
            if partner(layout, voter, distance) == owner:
                votes += [(voter, said[voter].partners[distance - 1]) for said in (first, again)]
    return [(rank, value) for rank, value in votes if value]


def _replicas(layout: Layout) -> list[list[int]]:
    """Groups of ranks that hold the same."""
    width = layout.dp_shard * layout.cp * layout.tp
    copies = range(layout.dp_replicate)
    return [
        [(stage * layout.dp_replicate + copy) * width + place for copy in copies]
        for stage in range(layout.pp)
        for place in range(width)
    ]


def _convicted(ranks: tuple[int, ...], reason: str) -> Judgement:
    return Judgement(outcome="convicted", ranks=ranks, reason=reason)


def _ranks(ranks: Sequence[int]) -> str:
    names = ", ".join(map(str, ranks))
    return f"rank {names}" if len(ranks) == 1 else f"ranks {names}"
