"""The way back: what a node must pass after an action, and with whom it is tested."""

from __future__ import annotations

from collections.abc import Sequence

from paceline.heal.fleets.base import Node
from paceline.heal.policy import Policy
from paceline.spec.healing import Case, Order, Rung
from paceline.spec.health import Action


def rungs_after(action: Action, policy: Policy) -> tuple[Rung, ...]:
    """The ladder for a node that comes back from `action`; isolated by a person's leave, it takes the whole one."""
    return policy.rungs.get(action, tuple(Rung))


def next_rung(case: Case, policy: Policy) -> Rung | None:
    """The rung after the one that `case` stands on; None when it has passed them all."""
    ladder = rungs_after(case.action, policy)
    if case.rung not in ladder:
        return ladder[0]
    place = ladder.index(case.rung) + 1
    return ladder[place] if place < len(ladder) else None


def choose_peers(case: Case, nodes: Sequence[Node], policy: Policy) -> tuple[str, ...] | None:
    """With whom the rung that `case` stands on is tested: proven idle nodes, in the order of their names, that no other
    test uses. None while there are too few."""
    least, most = {Rung.SINGLE: (0, 0), Rung.PAIR: (1, 1), Rung.MULTI: (2, policy.multi_peers)}[
        case.rung or Rung.SINGLE
    ]
    if not most:
        return ()
    used = {peer for node in nodes if node.case for peer in node.case.peers}
    free = [node.name for node in nodes if node.proven and node.name not in used]
    return tuple(free[:most]) if len(free) >= least else None


def test_order(case: Case) -> Order:
    """The order for the rung that `case` stands on, with the peers that it has written down."""
    return Order(id=case.order_id, rung=case.rung, peers=case.peers)
