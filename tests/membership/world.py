"""A small run at one moment: its nodes as they are and as the coordinator sees them, and what the coordinator knows.

A world is made of columns, one for each node, and nothing else in it names a node: their order says nothing. What can
make no difference any more is left out, so that worlds that go on alike are one (`World.settled`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from paceline.supervise.protocol import WorkersState

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


class Column(NamedTuple):
    """All about one node. `flying` is a report that is still on its way; `lives` are, for each generation that was
    opened, which of the node's supervisors is a member, -1 where none is."""

    node: Node = Node()
    flying: Said | None = None
    seen: Seen | None = None
    lives: tuple[int, ...] = ()


class Mind(NamedTuple):
    """What a coordinator knows, beside what it sees. `newest` is that of its Fence; generations are given by number."""

    assignment: int = -1
    opened: tuple[int, ...] = ()
    newest: int | None = None
    pause: int | None = None


class World(NamedTuple):
    columns: tuple[Column, ...]
    mind: Mind = Mind()

    @property
    def generations(self) -> int:
        """How many have been opened."""
        return len(self.columns[0].lives)

    def members(self, generation: int) -> list[int]:
        return [number for number, column in enumerate(self.columns) if column.lives[generation] >= 0]

    def training(self) -> list[int]:
        """Generations whose members all run: only those can make a step."""
        runs = [running_in(column) for column in self.columns]
        return [g for g in {*runs} if g >= 0 and all(runs[n] == g for n in self.members(g))]

    def put(self, number: int, column: Column) -> World:
        return World((*self.columns[:number], column, *self.columns[number + 1 :]), self.mind)

    def settled(self, *, history: bool) -> World:
        """As it is told apart from others. Without `history`, generations that nobody knows any more are left out: of
        their numbers the decisions use the order only."""
        columns, mind = self
        tidied = [_tidy(column, mind.newest) for column in columns]
        if not history and (generations := len(columns[0].lives)):
            known = 1 << generations - 1 | _known(mind)
            for _, mentioned in tidied:
                known |= mentioned
            if known != (1 << generations) - 1:
                kept = tuple([g for g in range(generations) if known >> g & 1])
                mind = _keep_in_mind(mind, kept)
                tidied = [_keep(column, kept) for column, _ in tidied]
        return World(tuple([column for column, _ in tidied]), mind)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """How large the worlds are: `nodes` of which `sizes` can train, and how many `faults` there are, of which kinds.
    `underway`: all have reported and the first generation is opened."""

    nodes: int
    sizes: tuple[int, ...]
    faults: int
    kinds: tuple[str, ...] = FAULTS
    underway: bool = True


@cache
def running_in(column: Column) -> int:
    """The generation in which the workers of this node train, -1 if in none."""
    node = column.node
    trains = node.alive and node.workers == "running" and takes_part(column, node.life, node.following)
    return node.following if trains else -1


def takes_part(column: Column, life: int, generation: int) -> bool:
    return generation >= 0 and column.lives[generation] == life


@cache
def _tidy(column: Column, newest: int | None) -> tuple[Column, int]:
    """Of a dead node only that it is dead counts, of a spare no workers, of a node that is not present only what it
    follows and whether it has begun `newest`; of lives only which are the same. And the generations that it follows or
    is said to follow, as bits."""
    node, flying, seen, lives = column
    if not node.alive:
        node = Node(life=node.life, alive=False)
    elif not takes_part(column, node.life, node.following):
        node = node._replace(workers="running", begun=False)
    if flying is not None and not takes_part(column, flying.life, flying.following):
        flying = flying._replace(workers="running", begun=False)
    if seen is not None:
        said = seen.said
        if not takes_part(column, said.life, said.following):
            said = said._replace(workers="running", begun=False)
        if not seen.present:
            said = said._replace(ready=False, workers="running", begun=said.begun and said.following == newest)
        seen = seen._replace(said=said)
    followed = {node.following, *(s.following for s in (flying, seen and seen.said) if s is not None)}
    return _renamed(Column(node, flying, seen, lives)), sum(1 << g for g in followed if g >= 0)


def _renamed(column: Column) -> Column:
    """With its lives numbered from 0, in their order."""
    node, flying, seen, lives = column
    used = {node.life, *lives, *(s.life for s in (flying, seen and seen.said) if s is not None)}
    new = {-1: -1} | {life: number for number, life in enumerate(sorted(used - {-1}))}
    return Column(
        node._replace(life=new[node.life]),
        flying and flying._replace(life=new[flying.life]),
        seen and seen._replace(said=seen.said._replace(life=new[seen.said.life])),
        tuple(new[life] for life in lives),
    )


@cache
def _known(mind: Mind) -> int:
    """The generations that the coordinator knows, as bits."""
    known = {mind.assignment, *mind.opened, *(g for g in (mind.newest, mind.pause) if g is not None)}
    return sum(1 << g for g in known if g >= 0)


@cache
def _keep(column: Column, kept: tuple[int, ...]) -> tuple[Column, int]:
    """Only the generations `kept`, numbered anew."""
    node, flying, seen, lives = column
    new = {-1: -1} | {old: number for number, old in enumerate(kept)}
    column = Column(
        node._replace(following=new[node.following]),
        flying and flying._replace(following=new[flying.following]),
        seen and seen._replace(said=seen.said._replace(following=new[seen.said.following])),
        tuple(lives[old] for old in kept),
    )
    return _renamed(column), (1 << len(kept)) - 1


@cache
def _keep_in_mind(mind: Mind, kept: tuple[int, ...]) -> Mind:
    new = {-1: -1} | {old: number for number, old in enumerate(kept)}
    return Mind(
        assignment=new[mind.assignment],
        opened=tuple(new[g] for g in mind.opened),
        newest=None if mind.newest is None else new[mind.newest],
        pause=None if mind.pause is None else new[mind.pause],
    )
