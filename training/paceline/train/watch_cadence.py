"""How often the state is checked, so that checks take no more than their share of the time, whatever the job.

A check reads all parameters and optimizer state twice, however long a step is: where steps are short for the size of
the state, checks become rarer than the recipe asks for.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from statistics import median

from paceline.engines.base import Engine
from paceline.plan.cadence import steps_between
from paceline.recipe.watch import SentinelChoice

_LEAST_SEALS = 3  # the median of fewer may be that of the first one, which finds nothing in a cache
_RECENT = 64  # steps and seals that count
_AT_MOST_MORE = 1000  # steps until the next seal is timed: a job may have become faster


class WatchCadence:
    """Steps between two checks in one generation: `every`, the same on all ranks, as it follows from what they sum up.

    Every rank times its steps, and of its seals those after the 1st, 2nd, 4th ... step: for that the device must be
    waited for. `costs` is then what it adds to the sums of a step: what a check and a step take it, in nanoseconds;
    zeros while too little is known.
    """

    def __init__(self, choice: SentinelChoice, world_size: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.every = choice.every
        self.costs = (0, 0)
        self._choice = choice
        self._world_size = world_size
        self._clock = clock
        self._ended: float | None = None
        self._steps: deque[float] = deque(maxlen=_RECENT)
        self._seals: deque[float] = deque(maxlen=_RECENT)
        self._count = 0
        self._due = 1
        self._heard = (0, 0)

    def step_done(self, costs: Sequence[int]) -> tuple[float, float] | None:
        """A step is over, in which the costs of all ranks added up to `costs`. The mean seconds of a check and of a
        step, if `every` changes with them."""
        now = self._clock()
        if self._ended is not None:
            self._steps.append(now - self._ended)
        self._ended = now
        self._count += 1
        check, step = map(int, costs)
        if (check, step) == self._heard:
            return None
        self._heard = check, step
        before, self.every = self.every, max(self._choice.every, steps_between(check / self._choice.overhead, step))
        return (check / self._world_size / 1e9, step / self._world_size / 1e9) if self.every != before else None

    def seal(self, engine: Engine) -> None:
        """Have `engine` seal its state."""
        if self._count < self._due:
            engine.seal()
            return
        self._due = self._count + min(self._count, _AT_MOST_MORE)
        engine.sync()
        started = self._clock()
        engine.seal()
        engine.sync()
        self._seals.append(self._clock() - started)
        if len(self._seals) >= _LEAST_SEALS:
            self.costs = round(2e9 * median(self._seals)), round(1e9 * median(self._steps))
