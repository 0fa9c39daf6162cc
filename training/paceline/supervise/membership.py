"""Who takes part in a run: pure functions from what the coordinator sees to what it does.

Nothing here knows time, sockets or processes, so that the simulator and the tests drive the same decisions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from paceline.spec.events import EVERYBODY
from paceline.supervise.protocol import (
    Address,
    Assignment,
    Corruption,
    HeldShard,
    Member,
    NodeStatus,
    PersistedShard,
    Restore,
    ShardSource,
)

SILENT_CORRUPTION = "silent_corruption"


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeView:
    """A node as the coordinator sees it. `present`: it reports; `suspected`: its connection broke a moment ago and
    may come back, so nothing should be decided about it yet; `lapsed`: it has been silent for longer than its lease,
    so that its workers have stopped; `failed_at`: when it was first heard that they failed, in seconds; `settled`:
    that is long enough ago for their peers to have been heard as well."""

    status: NodeStatus
    present: bool
    suspected: bool = False
    lapsed: bool = False
    failed_at: float = 0.0
    settled: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Why a generation cannot go on. `node` is None where nobody can be named; `traceback` is that of a worker's own
    exception. `corruption` is what the sentinel found: the state of steps after its `good_step` is not to be used."""

    node: str | None
    fault: str
    fault_class: str
    evidence: str
    traceback: str | None = None
    corruption: Corruption | None = None

    @property
    def good_step(self) -> int | None:
        return self.corruption.good_step if self.corruption is not None else None

    @property
    def where(self) -> str:
        return self.node or EVERYBODY


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """No generation can be opened yet."""

    reason: str


def find_faults(assignment: Assignment, views: Mapping[str, NodeView]) -> list[Fault] | Waiting:
    """What broke the generation that `assignment` opened.

    When a node is lost, the failures of its peers are consequences and not reported. While a node is suspected the
    cause is not known yet, unless a peer of it has failed too: then the node is taken as lost. A node that its health
    agent calls unfit is a fault once a spare can take its place at once, with the standbys of all who stay ready: until
    then it goes on for as long as it can. Of failed workers only those are reported where it began.
    """
    members = [views.get(m.node) for m in assignment.members]
    failed = [v for v in members if v is not None and v.present and _failed_in(v.status, assignment.generation)]
    lost, suspected = [], []
    for member, view in zip(assignment.members, members, strict=True):
        if view is None or not view.present:
            lost.append(_lost(member.node, "no reports from it"))
        elif view.suspected:
            suspected.append(member.node)
        elif not is_same_supervisor(member, view.status):
            lost.append(_lost(member.node, "its supervisor was started again, without its workers and its memory"))
    if suspected and failed:
        evidence = f"connection closed, and the workers of {failed[0].status.node} lost it too"
        lost += [_lost(node, evidence) for node in suspected]
    elif suspected:
        return Waiting(reason=f"the connection to {', '.join(suspected)} broke a moment ago")
    if lost:
        return lost
    if corrupted := next(filter(None, (_corrupted(assignment, view.status) for view in failed)), None):
        return corrupted
    if unfit := _replaceable(assignment, views):
        return unfit
    causes = _causes(failed, len(members))
    if isinstance(causes, Waiting):
        return causes
    return [
        Fault(
            node=view.status.node,
            fault="worker failed",
            fault_class="worker_failed",
            evidence=_error(view.status),
            traceback=_traceback(view.status),
        )
        for view in causes
    ]


def _causes(failed: Sequence[NodeView], members: int) -> Sequence[NodeView] | Waiting:
    """Those of the nodes whose workers `failed` where it began: the workers were killed, or else raised first.

    An exception may be all that a rank feels of a peer that dies, and be heard before that peer's end is; so where
    there are only exceptions, the other members are given a moment.
    """
    killed = [view for view in failed if _traceback(view.status) is None]
    if killed or not failed:
        return killed
    if len(failed) < members and not any(view.settled for view in failed):
        return Waiting(reason=f"the workers of {failed[0].status.node} failed a moment ago")
    return [min(failed, key=lambda view: view.failed_at)]


def _corrupted(assignment: Assignment, status: NodeStatus) -> list[Fault]:
    """What the sentinel of a failed node's workers found. All ranks find the same."""
    error = status.workers.error if status.workers is not None else None
    if error is None or error.corruption is None:
        return []
    found = error.corruption
    places = {rank // assignment.workers_per_node for rank in found.ranks}
    nodes: list[str | None] = [assignment.members[place].node for place in sorted(places)]
    return [
        Fault(
            node=node,
            fault="silent corruption",
            fault_class=SILENT_CORRUPTION,
            evidence=found.reason,
            corruption=found,
        )
        for node in nodes or [None]
    ]


def _replaceable(assignment: Assignment, views: Mapping[str, NodeView]) -> list[Fault]:
    """The members that are unfit, as many as there are spares for; none while those who stay could not follow."""
    seen = [v.status for v in views.values() if v.present and not v.suspected and v.status.failure is None]
    spares = [s for s in seen if s.ready and s.unfit is None and assignment.member(s.node) is None]
    found = [
        Fault(
            node=status.node,
            fault=status.unfit.fault or status.unfit.check,
            fault_class="node_unfit",
            evidence=status.unfit.evidence,
        )
        for status in seen
        if status.unfit is not None and assignment.member(status.node) is not None
    ]
    replaced = {fault.node for fault in found[: len(spares)]}
    late = any(s.node not in replaced and assignment.member(s.node) is not None and not s.ready for s in seen)
    return [] if late else found[: len(spares)]


def plan_generation(
    *,
    sizes: Sequence[int],
    workers_per_node: int,
    previous: Assignment | None,
    first_generation: int = 0,
    views: Mapping[str, NodeView],
    durable_step: int | None,
    cause: str,
    avoid: Collection[str] = (),
    good_step: int | None = None,
) -> Assignment | Waiting:
    """The next generation over nodes that are present and ready.

    `sizes` are the numbers of nodes that the run can train on, largest first: it takes the largest that can be had, and
    begins with no smaller one. Survivors keep their ranks, so their snapshots are where they are needed; vacant ranks
    go to spares, and to nodes in `avoid` only if there are no others; a member that is unfit keeps its rank only while
    nobody can take it, and an unfit node that is no member gets none. The state is the newest step of which every
    rank's snapshot is in somebody's memory, and none after `good_step`, else the newest durable checkpoint
    (`durable_step`, None when there is none), else the beginning. `first_generation` is above all that were opened
    before by others than who asks: two generations of one number could meet.
    """
    usable = {n: v.status for n, v in views.items() if v.present and not v.suspected and v.status.failure is None}
    before = {m.node for m in previous.members} if previous is not None else set()
    staying = {n: s for n, s in usable.items() if not s.leaving and (s.unfit is None or n in before)}
    avoid = {*avoid, *(n for n, s in staying.items() if s.unfit is not None)}
    ready = {n: s for n, s in staying.items() if s.ready and s.store_port is not None}
    fitting = [size for size in sizes if size <= len(staying)] if previous is not None else list(sizes[:1])
    if not fitting:
        return Waiting(reason=f"{len(ready)} of {sizes[0]} nodes are ready")
    size = fitting[0]
    places = _keep_places(size, workers_per_node, previous, staying, avoid)
    kept = {node for node in places if node is not None}
    if late := sorted(kept - set(ready)):
        return Waiting(reason=f"standbys of {', '.join(late)} are not ready")
    spares = sorted(set(ready) - kept, key=lambda node: (node in avoid, node))
    for index, node in enumerate(places):
        if node is None:
            if not spares:
                return Waiting(reason=f"{len(ready)} of {size} nodes are ready")
            places[index] = spares.pop(0)
    known = {m.node: m for m in previous.members} if previous is not None else {}
    members = tuple(
        _member(ready[node], index * workers_per_node, known.get(node))
        for index, node in enumerate(places)
        if node is not None
    )
    return Assignment(
        generation=max(first_generation, previous.generation + 1 if previous is not None else 0),
        members=members,
        workers_per_node=workers_per_node,
        restore=choose_restore(previous, list(usable.values()), durable_step, good_step),
        cause=cause,
    )


def wanted_change(
    assignment: Assignment,
    views: Mapping[str, NodeView],
    sizes: Sequence[int],
    avoid: Collection[str],
    unwanted: Collection[str] = (),
    *,
    newest: int = -1,
) -> str | None:
    """Why a generation that is well should give way to another after its present step: a later one was opened, up to
    `newest`, and a coordinator that could tell nobody was lost with it, so that storage takes only that one's
    checkpoints; a member's capacity ends; a spare can take over from an unwanted one; or there are nodes to grow by."""
    if newest > assignment.generation:
        return f"go on as a later generation: {newest} was opened, and nobody was told"
    members = {m.node for m in assignment.members}
    leaving = sorted(n for n in members if n in views and views[n].status.leaving)
    if leaving:
        return f"hand over: {', '.join(leaving)} leaves"
    joining = {n for n, v in views.items() if _could_join(v) and n not in members and n not in avoid}
    if joining and (slow := sorted(members & set(unwanted))):
        return f"hand over: {slow[0]} is slower than its peers"
    larger = [size for size in sizes if len(members) < size <= len(members) + len(joining)]
    return f"grow to {larger[0]} nodes" if larger else None


def choose_restore(
    previous: Assignment | None,
    statuses: Sequence[NodeStatus],
    durable_step: int | None,
    good_step: int | None = None,
) -> Restore:
    """Memory before disk, newer before older; never snapshots of two generations together: a step that was run
    again need not have given the same bits.

    What is durable was found right before it was committed, so it is never newer than a `good_step`. What is in memory
    need not have been looked at yet: how far that went comes along."""
    holders: dict[tuple[int, int], dict[int, tuple[NodeStatus, HeldShard]]] = {}
    for status in statuses:
        for shard in status.held:
            if not is_superseded(shard, previous) and (good_step is None or shard.step <= good_step):
                holders.setdefault((shard.step, shard.generation), {})[shard.rank] = (status, shard)
    whole = [key for key, by_rank in holders.items() if _is_whole([shard for _, shard in by_rank.values()])]
    if whole and (newest := max(whole))[0] >= (durable_step or 0):
        sources = tuple(
            ShardSource(
                rank=rank,
                node=status.node,
                digest=shard.digest,
                address=Address(host=status.host, port=status.peer_port),
            )
            for rank, (status, shard) in sorted(holders[newest].items())
        )
        looked_at = max(_verified(previous, statuses), durable_step or 0)
        return Restore(source="memory", step=newest[0], verified=min(looked_at, newest[0]), shards=sources)
    if durable_step is not None:
        return Restore(source="manifest", step=durable_step, verified=durable_step)
    return Restore(source="nothing")


def _verified(previous: Assignment | None, statuses: Sequence[NodeStatus]) -> int:
    """The newest step whose state all ranks of `previous` found right, as far as was heard."""
    if previous is None:
        return 0
    workers = [s.workers for s in statuses if s.workers is not None]
    return max([previous.restore.verified, *(w.verified for w in workers if w.generation == previous.generation)])


def choose_buddies(assignment: Assignment, views: Mapping[str, NodeView]) -> dict[str, NodeStatus]:
    """Who keeps the second copy of each member's snapshots: another member, in another failure domain; alone, any
    other node.

    In an order in which those of one domain stand together, each member's buddy comes as many places later as the
    largest domain has members. So everybody keeps the copies of one, and no two of a domain are buddies unless it has
    more than half of all. Without domains that is the next member. One that is suspected stays: without a buddy the
    trainer would go on with a single copy."""
    present = {n: v.status for n, v in views.items() if v.present}
    members = [m.node for m in assignment.members]
    if len(members) == 1:
        others = sorted(set(present) - set(members))
        return {members[0]: present[others[0]]} if others and members[0] in present else {}
    domains: dict[object, list[str]] = {}
    for place, node in enumerate(members):
        known = views[node].status.failure_domain if node in views else None
        domains.setdefault(known or place, []).append(node)  # where nobody said, each is one of its own
    ring = [node for nodes in domains.values() for node in nodes]
    distance = max(map(len, domains.values())) if len(domains) > 1 else 1
    buddies = zip(ring, ring[distance:] + ring[:distance], strict=True)
    return {node: present[buddy] for node, buddy in buddies if node in present and buddy in present}


def _lost(node: str, evidence: str) -> Fault:
    return Fault(node=node, fault="node lost", fault_class="node_lost", evidence=evidence)


def is_same_supervisor(member: Member, status: NodeStatus) -> bool:
    """Whether `status` comes from the process that became the member, not from one started later on that node."""
    return (status.host, status.peer_port) == (member.host, member.peer_port)


def _failed_in(status: NodeStatus, generation: int) -> bool:
    workers = status.workers
    return workers is not None and workers.generation == generation and workers.state == "failed"


def _error(status: NodeStatus) -> str:
    error = status.workers.error if status.workers is not None else None
    return error.message if error is not None else "it ended without a message"


def _traceback(status: NodeStatus) -> str | None:
    error = status.workers.error if status.workers is not None else None
    return error.traceback if error is not None else None


def _keep_places(
    size: int,
    workers_per_node: int,
    previous: Assignment | None,
    staying: Mapping[str, NodeStatus],
    avoid: Collection[str],
) -> list[str | None]:
    """For each of `size` places the member of `previous` that keeps it, or moves to it when the world changes."""
    survivors = {
        member.node: member.first_rank // workers_per_node
        for member in (previous.members if previous is not None else ())
        if member.node in staying and is_same_supervisor(member, staying[member.node])
    }
    willing = [n for n in staying if n not in avoid]
    offenders = sorted((n for n in staying if n in avoid), key=lambda node: (node not in survivors, node))
    trusted = {*willing, *offenders[: max(0, size - len(willing))]}
    places: list[str | None] = [None] * size
    for node, place in survivors.items():
        if node in trusted and place < size:
            places[place] = node
    moving = [node for node, place in survivors.items() if node in trusted and place >= size]
    return [node or (moving.pop(0) if moving else None) for node in places]


def _could_join(view: NodeView) -> bool:
    status = view.status
    fit = status.failure is None and status.unfit is None and not status.leaving
    return view.present and not view.suspected and status.ready and fit


def _is_whole(shards: Sequence[HeldShard]) -> bool:
    """Whether these are all ranks of the world that wrote them."""
    return {shard.rank for shard in shards} == set(range(shards[0].world_size))


def is_superseded(shard: HeldShard | PersistedShard, previous: Assignment | None) -> bool:
    """Whether a later generation went back behind this snapshot."""
    return previous is not None and shard.generation < previous.generation and shard.step > previous.restore.step


def _member(status: NodeStatus, first_rank: int, before: Member | None) -> Member:
    """`before` is reused as it is: of thousands of members few change, and to validate them all takes its time."""
    assert status.store_port is not None
    place = (first_rank, status.host, status.peer_port, status.store_port)
    if before is not None and (before.first_rank, before.host, before.peer_port, before.store_port) == place:
        return before
    return Member(
        node=status.node,
        first_rank=first_rank,
        host=status.host,
        peer_port=status.peer_port,
        store_port=status.store_port,
    )
