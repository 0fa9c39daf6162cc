"""A small run as a graph of states: what nodes, network and coordinator can do next, through the production decisions.

A message arrives at any time or never. Nodes, their workers and the coordinator die, links are cut, leases run out, a
report arrives that shows its node as it was, a directive that was overtaken: these are faults, and a scene has a number
of them. What heals (a node comes back, a message arrives) costs nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, TypeVar

from paceline.supervise.fence import Fence
from paceline.supervise.membership import NodeView, Waiting, find_faults, plan_generation, wanted_change
from paceline.supervise.protocol import Assignment, NodeStatus, WorkersState, WorkersStatus

T = TypeVar("T")
Members = tuple[tuple[int, int], ...]
History = tuple[tuple[int, Members], ...]
FAULTS = ("crash", "cut", "worker", "coordinator", "unheard", "late report", "late directive")


class Node(NamedTuple):
    """A node as it really is. `life` counts its supervisors; `following` is a generation, -1 is none; `begun`: its
    workers have met their peers, until then they wait for them; `expired`: its lease is over; `answer`: the
    coordinator has heard it and the word of that may still arrive."""

    life: int = 0
    alive: bool = True
    linked: bool = True
    following: int = -1
    workers: WorkersState = "running"
    begun: bool = False
    expired: bool = False
    answer: bool = False

    @property
    def said(self) -> Said:
        return Said(self.life, self.following, self.workers, self.begun, not self.expired)


class Said(NamedTuple):
    """What a report says."""

    life: int
    following: int
    workers: WorkersState
    begun: bool
    ready: bool


class Seen(NamedTuple):
    """A node as the coordinator sees it."""

    said: Said
    present: bool = True
    lapsed: bool = False


class World(NamedTuple):
    """`history` are all generations that were opened, each as (number, members as (node, life)); `flying` is a report
    of each node that is on its way."""

    nodes: tuple[Node, ...]
    flying: tuple[Said | None, ...]
    seen: tuple[Seen | None, ...]
    history: History = ()
    assignment: int = -1
    opened: tuple[int, ...] = ()
    newest: int | None = None
    pause: int | None = None
    faults: int = 0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """How large the worlds are: `nodes` of which `sizes` can train, and how many `faults` there are, of which kinds."""

    nodes: int
    sizes: tuple[int, ...]
    faults: int
    kinds: tuple[str, ...] = FAULTS
    underway: bool = True

    @property
    def start(self) -> World:
        """Nobody has reported yet; with `underway`, all have, and the first generation is opened."""
        world = World((Node(),) * self.nodes, (None,) * self.nodes, (None,) * self.nodes)
        for number in reversed(range(self.nodes if self.underway else 0)):  # the last to come are the members
            world = _heard(self, world, number, Node().said)
        return world


def running(world: World, node: int, generation: int) -> bool:
    """Whether the workers of `node` train in `generation`."""
    it = world.nodes[node]
    members = dict(world.history[generation][1])
    return it.alive and it.following == generation and members.get(node) == it.life and it.workers == "running"


def training(world: World) -> list[int]:
    """Generations whose members all run: only those can make a step."""
    return [g for g, (_, members) in enumerate(world.history) if all(running(world, n, g) for n, _ in members)]


def successors(scene: Scene, world: World) -> Iterator[tuple[bool, World]]:
    """Everything that can happen next, and whether it is a fault."""
    faults = scene.kinds if world.faults < scene.faults else ()
    for number, node in enumerate(world.nodes):
        yield from ((False, w) for w in _goes_on(scene, world, number, node))
        for kind in faults:
            for after in _fault(world, number, node, kind):
                yield True, after._replace(faults=world.faults + 1)
    for generation in training(world):
        members = world.history[generation][1]
        if not all(world.nodes[n].begun for n, _ in members):
            yield False, _all(world, members, begun=True)
        elif world.pause == generation:
            yield False, _all(world, members, workers="stopped")
    if "coordinator" in faults and world.seen != (None,) * scene.nodes:
        yield True, _succeeded(world)._replace(faults=world.faults + 1)
    if world.newest is not None and all(
        s is not None or not n.alive or (n.expired and not n.answer)
        for n, s in zip(world.nodes, world.seen, strict=True)
    ):
        yield False, _decide(scene, world, outlive=True)


def _goes_on(scene: Scene, world: World, number: int, node: Node) -> Iterator[World]:
    """What node `number`, its messages, and the coordinator's clock for it can do without a fault."""
    if not node.alive:
        yield _with(world, number, Node(life=node.life + 1))
    if node.alive and not node.linked:
        yield _with(world, number, node._replace(linked=True))
        if not node.expired:
            yield _with(world, number, _expire(node))
    if node.alive and node.linked and (node.expired or world.seen[number] != Seen(node.said)):
        yield _heard(scene, world, number, node.said)  # to hear the same again changes nothing
    if (said := world.flying[number]) is not None and node.linked:
        yield _heard(scene, world._replace(flying=_put(world.flying, number, None)), number, said)
    if node.answer and node.linked:
        yield _with(world, number, node._replace(answer=False, expired=False))
        yield _with(world, number, node._replace(answer=False))
    if node.alive and node.linked and world.seen[number] is not None and world.assignment > node.following:
        yield _told(world, number, world.assignment)
    if node.begun and running(world, number, node.following):
        members = world.history[node.following][1]
        if any(_has_gone(world, peer, life, node.following) for peer, life in members):
            yield _with(world, number, node._replace(workers="failed"))
    if (seen := world.seen[number]) is not None:
        if seen.present and (not node.alive or not node.linked or seen.said.life != node.life):
            yield _decide(scene, world._replace(seen=_put(world.seen, number, seen._replace(present=False))))
        over = not node.alive or node.life != seen.said.life or (node.expired and not node.answer)
        if not seen.present and not seen.lapsed and over:
            yield _decide(scene, world._replace(seen=_put(world.seen, number, seen._replace(lapsed=True))))


def _heard(scene: Scene, world: World, number: int, said: Said) -> World:
    """The coordinator has a report, and answers; a lease that is held needs no answer."""
    node = world.nodes[number]
    answer = node.alive and node.life == said.life and node.expired
    seen = _put(world.seen, number, Seen(said))
    return _decide(scene, _with(world._replace(seen=seen), number, node._replace(answer=answer)))


def _told(world: World, number: int, generation: int) -> World:
    """The node has a directive; as `NodeSupervisor._reconcile` and `_promote`."""
    node = world.nodes[number]
    takes_part = dict(world.history[generation][1]).get(number) == node.life
    workers: WorkersState = "failed" if takes_part and node.expired else "running"
    return _with(world, number, node._replace(following=generation, workers=workers, begun=False))


def _fault(world: World, number: int, node: Node, kind: str) -> Iterator[World]:
    if kind == "crash" and node.alive:
        yield _with(world._replace(flying=_put(world.flying, number, None)), number, node._replace(alive=False))
    if kind == "cut" and node.alive and node.linked:
        yield _with(world, number, node._replace(linked=False))
    if kind == "worker" and node.following >= 0 and running(world, number, node.following):
        yield _with(world, number, node._replace(workers="failed"))
    if kind == "unheard" and node.alive and not node.expired:
        yield _with(world, number, _expire(node))
    if kind == "late report" and node.alive and node.linked and world.flying[number] is None:
        yield world._replace(flying=_put(world.flying, number, node.said))
    if kind == "late directive" and node.alive:
        for generation in range(node.following + 1, len(world.history)):
            if generation != world.assignment or not node.linked:
                yield _told(world, number, generation)


def _expire(node: Node) -> Node:
    """Its lease is over: its workers are stopped, and no answer that is on its way renews it."""
    workers: WorkersState = "failed" if node.workers == "running" and node.following >= 0 else node.workers
    return node._replace(expired=True, answer=False, workers=workers)


def _has_gone(world: World, peer: int, life: int, generation: int) -> bool:
    """Whether the workers of `peer`, which were there, do not answer those of their generation any more."""
    it = world.nodes[peer]
    return not (it.alive and it.life == life and it.following == generation and it.workers != "failed")


def _succeeded(world: World) -> World:
    """The coordinator is another one."""
    nodes = tuple(n._replace(answer=False) for n in world.nodes)
    nobody = (None,) * len(nodes)
    newest = len(world.history) - 1 if world.history else None
    return world._replace(nodes=nodes, flying=nobody, seen=nobody, assignment=-1, opened=(), newest=newest, pause=None)


def _with(world: World, number: int, node: Node) -> World:
    return world._replace(nodes=_put(world.nodes, number, node))


def _all(world: World, members: Members, **changes: Any) -> World:
    nodes = dict(enumerate(world.nodes))
    nodes |= {n: nodes[n]._replace(**changes) for n, _ in members}
    return world._replace(nodes=tuple(nodes.values()))


def _put(items: tuple[T, ...], at: int, item: T) -> tuple[T, ...]:
    return (*items[:at], item, *items[at + 1 :])


# ----- the coordinator ------------------------------------------------------------------------------------------------


class Mind(NamedTuple):
    """What a coordinator knows, beside what it sees; see `World`."""

    history: History
    assignment: int
    opened: tuple[int, ...]
    newest: int | None
    pause: int | None


def _decide(scene: Scene, world: World, *, outlive: bool = False) -> World:
    """One look of the coordinator."""
    mind = Mind(world.history, world.assignment, world.opened, world.newest, world.pause)
    return world._replace(**_look(scene, world.seen, mind, outlive)._asdict())


@cache
def _look(scene: Scene, seen: tuple[Seen | None, ...], mind: Mind, outlive: bool) -> Mind:
    """As `Coordinator.hear` and `step`, without what needs time."""
    generations = tuple(_assignment(number, members) for number, members in mind.history)
    views = {_name(n): _view(n, s, generations) for n, s in enumerate(seen) if s is not None}
    fence = Fence(newest=mind.newest, opened=tuple(generations[g] for g in mind.opened)).look(views)
    if outlive:
        fence = fence.outlive(views)
    mind = mind._replace(
        assignment=max([mind.assignment, *(s.said.following for s in seen if s is not None)]),
        opened=tuple(sorted(a.generation for a in fence.opened)),
        newest=fence.newest,
    )
    current = generations[mind.assignment] if mind.assignment >= 0 else None
    planned = _plan(scene, current, views, len(generations))
    if isinstance(planned, Assignment):
        planned = fence.hinders(planned) or planned
    if current is not None:
        faults = find_faults(current, views)
        said = [views[m.node].status.workers for m in current.members if m.node in views]
        states = {w.state for w in said if w is not None and w.generation == current.generation}
        paused = len(said) == len(current.members) and states == {"stopped"}
        if isinstance(faults, Waiting):
            return mind
        if not faults and not paused:
            newest = len(generations) - 1
            wanted = wanted_change(current, views, scene.sizes, (), newest=newest) and isinstance(planned, Assignment)
            return mind._replace(pause=current.generation) if wanted else mind
    if isinstance(planned, Waiting):
        return mind
    assert planned.generation == len(generations), "no two generations have one number"
    members = tuple((ord(m.node) - ord("a"), m.peer_port) for m in planned.members)
    opened = tuple(a.generation for a in fence.open(planned).opened)
    history = (*mind.history, (planned.generation, members))
    return mind._replace(history=history, assignment=planned.generation, opened=opened, pause=None)


def _plan(scene: Scene, current: Assignment | None, views: dict[str, NodeView], first: int) -> Assignment | Waiting:
    return plan_generation(
        sizes=scene.sizes,
        workers_per_node=1,
        previous=current,
        first_generation=first,
        views=views,
        durable_step=None,
        cause="x",
    )


def _name(number: int) -> str:
    return chr(ord("a") + number)


@cache
def _assignment(number: int, members: Members) -> Assignment:
    return Assignment.model_validate(
        {
            "generation": number,
            "members": [
                {"node": _name(n), "first_rank": rank, "host": "h", "peer_port": life, "store_port": 1}
                for rank, (n, life) in enumerate(members)
            ],
            "workers_per_node": 1,
            "restore": {"source": "nothing"},
            "cause": "x",
        }
    )


@cache
def _view(number: int, seen: Seen, generations: tuple[Assignment, ...]) -> NodeView:
    said = seen.said
    following = generations[said.following] if said.following >= 0 else None
    member = following.member(_name(number)) if following is not None else None
    workers = None
    if member is not None and member.peer_port == said.life:
        workers = WorkersStatus(generation=said.following, state=said.workers, step=int(said.begun))
    status = NodeStatus(
        node=_name(number),
        host="h",
        process_group=1,
        peer_port=said.life,
        store_port=1,
        ready=said.ready,
        following=following,
        workers=workers,
    )
    return NodeView(status=status, present=seen.present, lapsed=seen.lapsed)


# ----- the search -----------------------------------------------------------------------------------------------------


class TwoTrainError(AssertionError):
    """Two generations train at the same time."""


@dataclass(frozen=True, kw_only=True)
class Explored:
    """All states of a scene: how many, and those from which nothing that heals leads to a run that trains."""

    states: int
    steps: int
    stuck: list[World]


def explore(scene: Scene, most: int | None = None) -> Explored:
    """Every state that `scene` can reach, breadth first. Raises TwoTrainError with the shortest way to such a state;
    what is `stuck` is known only when no `most` cut the search short."""
    numbers, worlds, came_from = {scene.start: 0}, [scene.start], [-1]
    heals: list[list[int]] = [[]]  # for each state, those from which it is reached without a fault
    waiting = deque([0])
    steps = 0
    while waiting and (most is None or len(worlds) < most):
        at = waiting.popleft()
        for is_fault, world in successors(scene, worlds[at]):
            steps += 1
            number = numbers.get(world)
            if number is None:
                number = numbers[world] = len(worlds)
                worlds.append(world)
                came_from.append(at)
                heals.append([])
                waiting.append(number)
                if len(training(world)) > 1:
                    raise TwoTrainError("\n".join(map(str, _way(number, worlds, came_from))))
            if not is_fault:
                heals[number].append(at)
    return Explored(states=len(worlds), steps=steps, stuck=[] if waiting else _stuck(worlds, heals))


def _way(number: int, worlds: list[World], came_from: list[int]) -> list[World]:
    way = []
    while number >= 0:
        way.append(worlds[number])
        number = came_from[number]
    return way[::-1]


def _stuck(worlds: list[World], heals: list[list[int]]) -> list[World]:
    """The states from which the newest generation can never train."""
    waiting = [n for n, world in enumerate(worlds) if world.history and training(world) == [len(world.history) - 1]]
    fine = set(waiting)
    while waiting:
        for before in heals[waiting.pop()]:
            if before not in fine:
                fine.add(before)
                waiting.append(before)
    return [world for number, world in enumerate(worlds) if number not in fine]
