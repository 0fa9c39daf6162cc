"""What nodes, network and coordinator can do next.

A message arrives at any time or never. Nodes, their workers and the coordinator die, links are cut, leases run out, a
report arrives that shows its node as it was, a directive that was overtaken: these are faults. What heals (a node comes
back, a message arrives) costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from paceline.supervise.protocol import WorkersState
from tests.membership.look import Sight, look
from tests.membership.world import Column, Mind, Node, Said, Scene, Seen, World, running_in, takes_part


class Move(NamedTuple):
    """`outcomes` are more than one where it is decided by names or ranks."""

    is_fault: bool
    outcomes: tuple[World, ...]


def begin(scene: Scene) -> World:
    """A run before anybody reported, or, where it is underway, after all have: the last to come are the members."""
    world = World((Column(),) * scene.nodes)
    for number in range(scene.nodes if scene.underway else 0):
        world = _decide(scene, world.put(number, _heard(world.columns[number], Node().said)))[0]
    return world


def moves(scene: Scene, world: World, *, faults: bool) -> Iterator[Move]:
    """Everything that can happen next; with `faults`, also what breaks."""
    columns, mind = world
    for number, column in enumerate(columns):
        for after, is_noticed in _goes_on(column, mind.assignment):
            outcome = world.put(number, after)
            yield Move(False, _decide(scene, outcome) if is_noticed else (outcome,))
        if column.node.begun and running_in(column) >= 0:
            generation = column.node.following
            if any(_has_gone(columns[peer], generation) for peer in world.members(generation)):
                yield Move(False, (world.put(number, _with(column, workers="failed")),))
        for after in _breaks(column, mind.assignment, scene.kinds) if faults else ():
            yield Move(True, (world.put(number, after),))
    for generation in world.training():
        members = world.members(generation)
        if not all(columns[n].node.begun for n in members):
            yield Move(False, (_all(world, members, begun=True),))
        elif mind.pause == generation:
            yield Move(False, (_all(world, members, workers="stopped"),))
    if faults and "coordinator" in scene.kinds and any(c.seen is not None for c in columns):
        yield Move(True, (_succeeded(world),))
    if mind.newest is not None and all(c.seen is not None or _is_over(c.node) for c in columns):
        yield Move(False, _decide(scene, world, outlive=True))


@cache
def _goes_on(column: Column, assignment: int) -> list[tuple[Column, bool]]:
    """What a node, its messages, and the coordinator's clock for it can do without a fault, and whether the coordinator
    notices."""
    return list(_steps(column, assignment))


def _steps(column: Column, assignment: int) -> Iterator[tuple[Column, bool]]:
    node, flying, seen, _ = column
    if not node.alive:
        yield column._replace(node=Node(life=node.life + 1)), False
    if node.alive and not node.linked:
        yield _with(column, linked=True), False
        if not node.expired:
            yield _expired(column), False
    if node.alive and node.linked and (node.expired or seen != Seen(node.said)):
        yield _heard(column, node.said), True  # to hear the same again changes nothing
    if flying is not None and node.linked:
        yield _heard(column, flying)._replace(flying=None), True
    if node.answer and node.linked:
        yield _with(column, answer=False, expired=False), False
        yield _with(column, answer=False), False
    if node.alive and node.linked and seen is not None and assignment > node.following:
        yield _told(column, assignment), False
    if seen is not None:
        if seen.present and (not node.alive or not node.linked or seen.said.life != node.life):
            yield column._replace(seen=seen._replace(present=False)), True
        if not seen.present and not seen.lapsed and (node.life != seen.said.life or _is_over(node)):
            yield column._replace(seen=seen._replace(lapsed=True)), True


@cache
def _breaks(column: Column, assignment: int, kinds: tuple[str, ...]) -> list[Column]:
    """What can happen to a node and its messages that is a fault."""
    return [after for kind in kinds for after in _fault(column, assignment, kind)]


def _fault(column: Column, assignment: int, kind: str) -> Iterator[Column]:
    node, flying, _, lives = column
    if kind == "crash" and node.alive:
        yield _with(column, alive=False)._replace(flying=None)
    if kind == "cut" and node.alive and node.linked:
        yield _with(column, linked=False)
    if kind == "worker" and running_in(column) >= 0:
        yield _with(column, workers="failed")
    if kind == "unheard" and node.alive and not node.expired:
        yield _expired(column)
    if kind == "late report" and node.alive and node.linked and flying is None:
        yield column._replace(flying=node.said)
    if kind == "late directive" and node.alive:
        for generation in range(node.following + 1, len(lives)):
            if generation != assignment or not node.linked:
                yield _told(column, generation)


def _heard(column: Column, said: Said) -> Column:
    """The coordinator has a report, and answers; a lease that is held needs no answer."""
    node = column.node
    answer = node.alive and node.life == said.life and node.expired
    return _with(column, answer=answer)._replace(seen=Seen(said))


def _told(column: Column, generation: int) -> Column:
    """The node has a directive; as `NodeSupervisor._reconcile` and `_promote`."""
    unheard = takes_part(column, column.node.life, generation) and column.node.expired
    workers: WorkersState = "failed" if unheard else "running"
    return _with(column, following=generation, workers=workers, begun=False)


def _expired(column: Column) -> Column:
    """Its lease is over: its workers are stopped, and no answer that is on its way renews it."""
    workers: WorkersState = "failed" if running_in(column) >= 0 else column.node.workers
    return _with(column, expired=True, answer=False, workers=workers)


def _is_over(node: Node) -> bool:
    """Whether its lease is, and no answer may renew it."""
    return not node.alive or (node.expired and not node.answer)


def _has_gone(peer: Column, generation: int) -> bool:
    """Whether the workers of `peer`, which were there, do not answer those of their generation any more."""
    node = peer.node
    follows = node.following == generation and takes_part(peer, node.life, generation)
    return not (node.alive and follows and node.workers != "failed")


def _succeeded(world: World) -> World:
    """The coordinator is another one, which has read in the journal what was opened."""
    columns = tuple(_with(c, answer=False)._replace(flying=None, seen=None) for c in world.columns)
    return World(columns, Mind(newest=world.generations - 1 if world.generations else None))


def _decide(scene: Scene, world: World, *, outlive: bool = False) -> tuple[World, ...]:
    """One look of the coordinator."""
    columns, mind = world
    sight = Sight(tuple([c.seen for c in columns]), tuple([c.lives for c in columns]), mind, outlive)
    outcomes = look(scene, sight)
    return tuple([World(columns if o.opened is None else _opened(columns, o.opened), o.mind) for o in outcomes])


def _opened(columns: tuple[Column, ...], lives: tuple[int, ...]) -> tuple[Column, ...]:
    return tuple(c._replace(lives=(*c.lives, life)) for c, life in zip(columns, lives, strict=True))


def _all(world: World, numbers: list[int], **changes: Any) -> World:
    for number in numbers:
        world = world.put(number, _with(world.columns[number], **changes))
    return world


def _with(column: Column, **changes: Any) -> Column:
    return column._replace(node=column.node._replace(**changes))
