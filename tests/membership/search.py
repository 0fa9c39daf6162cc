"""Every world that a scene can reach.

Worlds are found layer by layer: those without a fault, those with one, and so on. A world that is reached with fewer
faults can do all that it could with more, so it is looked at once. It is kept as the numbers of its parts, of which
there are far fewer than worlds, so that millions of them fit into memory and none is taken for another.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from tests.membership.look import look
from tests.membership.moves import begin, moves
from tests.membership.world import Column, Mind, Scene, World

T = TypeVar("T", bound=Hashable)
_BITS = 20
_MASK = (1 << _BITS) - 1


class TwoTrainError(AssertionError):
    """Two generations train at the same time; the message is the way there."""


@dataclass(frozen=True, kw_only=True)
class Explored:
    """All worlds of a scene: how many need how many faults, how many moves were tried, and from which worlds nothing
    that heals leads to one where the newest generation trains."""

    layers: tuple[int, ...]
    moves: int
    stuck: list[World]

    @property
    def worlds(self) -> int:
        return sum(self.layers)


class _Numbers(dict[T, int], Generic[T]):
    """Numbers in the order of first use."""

    def __init__(self) -> None:
        self.items_by_number: list[T] = []

    def __missing__(self, item: T) -> int:
        number = self[item] = len(self.items_by_number)
        self.items_by_number.append(item)
        return number


class _Worlds:
    """The worlds that were found, each once for all orders of its nodes, and `before`: from which it was reached."""

    def __init__(self, scene: Scene) -> None:
        self._nodes = scene.nodes
        self._columns: _Numbers[Column] = _Numbers()
        self._minds: _Numbers[Mind] = _Numbers()
        self._numbers: dict[int, int] = {}
        self._keys: list[int] = []
        self._before = array("q")

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, number: int) -> World:
        key, columns = self._keys[number], []
        for _ in range(self._nodes):
            columns.append(self._columns.items_by_number[key & _MASK])
            key >>= _BITS
        return World(tuple(columns), self._minds.items_by_number[key])

    def key(self, world: World, *, history: bool) -> int:
        columns, mind = world.settled(history=history)
        key = self._minds[mind]
        for number in sorted([self._columns[column] for column in columns]):
            key = key << _BITS | number
        return key

    def add(self, key: int, before: int) -> int:
        """The number of that world."""
        number = self._numbers.setdefault(key, len(self._keys))
        if number == len(self._keys):
            self._keys.append(key)
            self._before.append(before)
        return number

    def way(self, number: int) -> list[World]:
        """From the first world to this one."""
        way = []
        while number >= 0:
            way.append(self[number])
            number = self._before[number]
        return way[::-1]


class _Healing:
    """Which worlds lead to which without a fault."""

    def __init__(self) -> None:
        self._sources, self._first, self._targets = array("q"), array("q"), array("q")

    def __len__(self) -> int:
        return len(self._sources)

    def add(self, source: int, targets: Iterable[int]) -> None:
        """A move of `source`, with all that may become of it."""
        self._sources.append(source)
        self._first.append(len(self._targets))
        self._targets.extend(targets)

    def stuck(self, trains: Sequence[bool]) -> list[int]:
        """The worlds from which no moves lead to one that `trains`, whatever becomes of each."""
        fine = np.array(trains, dtype=bool)
        sources, first, targets = (np.asarray(a) for a in (self._sources, self._first, self._targets))
        before = -1
        while before < (before := int(fine.sum())):
            fine[sources[np.logical_and.reduceat(fine[targets], first)]] = True
        return [int(number) for number in np.flatnonzero(~fine)]


def explore(scene: Scene) -> Explored:
    """Every world that `scene` can reach. Raises TwoTrainError with a shortest way to such a world."""
    look.cache_clear()  # the decisions are read anew
    worlds, healing = _Worlds(scene), _Healing()
    layers: list[int] = []
    trains: list[bool] = []
    entries = {worlds.key(begin(scene), history=True): -1}
    for faults in range(scene.faults + 1):
        more = faults < scene.faults
        for key, before in entries.items():
            worlds.add(key, before)
        entries = {}
        while (at := len(trains)) < len(worlds):
            world = worlds[at]
            training = world.training()
            if len(training) > 1:
                raise TwoTrainError("\n".join(map(str, worlds.way(at))))
            trains.append(bool(training) and training[0] == world.generations - 1)
            for move in moves(scene, world, faults=more):
                if move.is_fault:
                    for after in move.outcomes:
                        entries.setdefault(worlds.key(after, history=faults + 1 < scene.faults), at)
                else:
                    healing.add(at, [worlds.add(worlds.key(w, history=more), at) for w in move.outcomes])
        layers.append(len(worlds) - sum(layers))
    stuck = [worlds[number] for number in healing.stuck(trains)]
    return Explored(layers=tuple(layers), moves=len(healing), stuck=stuck)
