"""A model check of membership: the orders of crashes, returns, lost reports, lost directives and coordinator deaths,
shortest first, driven through the production decisions.

The world: nodes a and b are needed, c stands by; each may crash and come back as another supervisor. The coordinator
sees a node only as of the last report that arrived, and a node follows the last directive that arrived. A connection
that ends is noticed at some later time, or never.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from paceline.supervise.membership import NodeView, Waiting, find_faults, plan_generation
from paceline.supervise.protocol import Assignment, NodeStatus, WorkersStatus

NEEDED = 2
CRASHES = 2
COORDINATOR_DEATHS = 1
STATES = 3_000  # breadth first; 30,000 were looked at once, in a minute


@dataclass(frozen=True)
class Node:
    """A node as it really is. `life` counts its supervisors; `following` is what its workers run."""

    name: str
    life: int = 0
    alive: bool = True
    following: Assignment | None = None

    @property
    def port(self) -> int:
        return 100 * ord(self.name) + self.life

    @property
    def takes_part(self) -> bool:
        member = self.following.member(self.name) if self.following is not None else None
        return self.alive and member is not None and member.peer_port == self.port

    def status(self) -> NodeStatus:
        workers = None
        if self.takes_part and self.following is not None:
            workers = WorkersStatus(generation=self.following.generation, state="running", step=0)
        return NodeStatus(
            node=self.name,
            host="h",
            process_group=1,
            peer_port=self.port,
            store_port=1,
            ready=True,
            following=self.following,
            workers=workers,
        )


@dataclass(frozen=True)
class World:
    nodes: tuple[Node, ...]
    seen: tuple[tuple[str, NodeStatus, bool], ...] = ()  # name, last report, whether it still counts as present
    assignment: Assignment | None = None
    journal: int = -1  # the highest generation that a coordinator wrote down
    first: int = 0  # what the present coordinator read there when it began
    crashes: int = 0
    deaths: int = 0

    @property
    def views(self) -> dict[str, NodeView]:
        return {name: NodeView(status=status, present=present) for name, status, present in self.seen}

    def see(self, node: Node, *, present: bool) -> World:
        others = tuple(entry for entry in self.seen if entry[0] != node.name)
        known = next((status for name, status, _ in self.seen if name == node.name), None)
        status = node.status() if present else known
        if status is None:
            return self
        followed = status.following
        assignment = self.assignment
        if followed is not None and (assignment is None or followed.generation > assignment.generation):
            assignment = followed
        seen = tuple(sorted((*others, (node.name, status, present)), key=lambda entry: entry[0]))
        return replace(self, seen=seen, assignment=assignment)

    def with_node(self, node: Node) -> World:
        return replace(self, nodes=tuple(node if n.name == node.name else n for n in self.nodes))


def decide(world: World) -> World:
    """What the coordinator does on one look, as in coordinator.py."""
    if world.assignment is None:
        if len(world.seen) < len(world.nodes) and world.deaths:
            return world  # a successor listens first
    elif not (faults := find_faults(world.assignment, world.views)) or isinstance(faults, Waiting):
        return world
    planned = plan_generation(
        sizes=(NEEDED,),
        workers_per_node=1,
        previous=world.assignment,
        first_generation=world.first,
        views=world.views,
        durable_step=None,
        cause="x",
    )
    if isinstance(planned, Waiting):
        return world
    assert planned.generation > world.journal, "no two generations have one number"
    return replace(world, assignment=planned, journal=planned.generation)


def obey(node: Node, assignment: Assignment | None) -> Node:
    """As `NodeSupervisor._reconcile`."""
    current = node.following.generation if node.following is not None else -1
    if assignment is None or assignment.generation <= current:
        return node
    return replace(node, following=assignment)


def successors(world: World) -> Iterator[World]:
    """Everything that can happen next; what is lost simply does not happen."""
    for node in world.nodes:
        if node.alive:
            yield decide(world.see(node, present=True))
            yield world.with_node(obey(node, world.assignment))
            if world.crashes < CRASHES:
                yield replace(world.with_node(replace(node, alive=False)), crashes=world.crashes + 1)
        else:
            yield decide(world.see(node, present=False))
            yield world.with_node(Node(node.name, life=node.life + 1))
    if world.deaths < COORDINATOR_DEATHS:
        yield replace(world, seen=(), assignment=None, first=world.journal + 1, deaths=world.deaths + 1)


def active(world: World) -> set[int]:
    """Generations whose members all run: only those can make a step."""
    running: dict[int, set[str]] = {}
    for node in world.nodes:
        if node.takes_part and node.following is not None:
            running.setdefault(node.following.generation, set()).add(node.name)
    by_generation = {n.following.generation: n.following for n in world.nodes if n.following is not None}
    return {g for g, names in running.items() if names == {m.node for m in by_generation[g].members}}


def settle(world: World) -> World:
    """No more faults and nothing lost: everybody comes back, reports and hears, until nothing changes."""
    for node in world.nodes:
        if not node.alive:
            world = world.with_node(Node(node.name, life=node.life + 1))
    for _ in range(10):
        for node in world.nodes:
            world = decide(world.see(node, present=True))
        for node in world.nodes:
            world = world.with_node(obey(node, world.assignment))
    return world


def explore() -> Iterator[World]:
    start = World(nodes=tuple(Node(name) for name in "abc"))
    reached, waiting = {_key(start)}, deque([start])
    while waiting:
        world = waiting.popleft()
        yield world
        for following in successors(world):
            if (key := _key(following)) not in reached:
                reached.add(key)
                waiting.append(following)


def _key(world: World) -> object:
    """A state without what does not matter for what comes next."""

    def short(a: Assignment | None) -> object:
        return None if a is None else (a.generation, tuple((m.node, m.peer_port) for m in a.members))

    nodes = tuple((n.name, n.life, n.alive, short(n.following)) for n in world.nodes)
    seen = tuple((name, s.peer_port, short(s.following), present) for name, s, present in world.seen)
    return nodes, seen, short(world.assignment), world.journal, world.first, world.crashes, world.deaths


def test_no_reachable_state_has_two_active_generations_or_is_stuck() -> None:
    for number, world in enumerate(islice(explore(), STATES)):
        assert len(active(world)) <= 1, world
        if number % 20 == 0:  # settling is dearer than looking, and its states overlap
            assert len(active(settle(world))) == 1, world
