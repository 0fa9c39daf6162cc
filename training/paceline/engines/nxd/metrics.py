"""Numbers that the device may still be computing: they arrive when a graph has run, and nobody waits for that here."""

from __future__ import annotations

from threading import Event

import torch_xla.core.xla_model as xm
from torch import Tensor

from paceline.engines.base import Metric


class Arrivals:
    """What a step gave, filled by a step closure.

    `add_step_closure` runs it, in a thread of its own, when the graph that `mark_step` cut has run.
    """

    def __init__(self, values: Tensor) -> None:
        self._values: list[float] = []
        self._here = Event()
        xm.add_step_closure(self._arrive, args=(values,), run_async=True)

    def metric(self, number: int) -> Metric:
        """The `number`-th of the values."""
        return _Arrival(self, number)

    def wait(self, number: int) -> float:
        self._here.wait()
        return self._values[number]

    def _arrive(self, values: Tensor) -> None:
        self._values = values.tolist()
        self._here.set()


class _Arrival(Metric):
    def __init__(self, arrivals: Arrivals, number: int) -> None:
        self._arrivals = arrivals
        self._number = number

    def result(self) -> float:
        return self._arrivals.wait(self._number)
