"""The way back: what a node must pass after an action, and with whom it is tested."""

from __future__ import annotations

from collections.abc import Sequence

from paceline.heal.fleets.base import Node
from paceline.heal.policy import Policy
from paceline.spec.healing import Case, Meeting, Order, Rung
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


def choose_peers(case: Case, node: Node, nodes: Sequence[Node], policy: Policy) -> tuple[str, ...] | None:
    """With whom the rung that `case` stands on is tested: proven idle nodes that no other test uses, those on the
    leaf of `node` first, so that a busy spine is not taken for a slow node; other ones each time the rung is tried
    again. None while there are too few."""
    least, most = {Rung.SINGLE: (0, 0), Rung.PAIR: (1, 1), Rung.MULTI: (2, policy.multi_peers)}[
        case.rung or Rung.SINGLE
    ]
    if not most:
        return ()
    used = {peer for node in nodes if node.case for peer in node.case.peers}
    free = [other for other in nodes if other.proven and other.name not in used]
    if len(free) < least:
        return None
    free.sort(key=lambda other: (node.leaf is None or other.leaf != node.leaf, other.name))
    first = case.tries * most % len(free) if free else 0
    return tuple(other.name for other in (free[first:] + free[:first])[:most])


def test_order(case: Case, node: Node) -> Order:
    """The order for the rung that `case` stands on, with the peers that it has written down."""
    host = node.address or node.name
    meeting = Meeting(nodes=(case.node, *case.peers), host=host) if case.peers else None
    return Order(id=case.order_id, rung=case.rung, peers=case.peers, meeting=meeting)


def on_one_leaf(case: Case, nodes: Sequence[Node]) -> bool:
    """Whether all nodes of the present test are known to hang on the same switch."""
    leaves = {node.leaf for node in nodes if node.name in (case.node, *case.peers)}
    return len(leaves) == 1 and None not in leaves
