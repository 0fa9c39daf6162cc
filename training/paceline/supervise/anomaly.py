"""Losses and gradient norms that are suspicious: not finite, or far above what they were.

Every rank sees the same figures and decides the same. A spike is far above the median of the last steps, measured by
their median absolute deviation (Rousseeuw and Croux, 1993): one that is true to the data is told apart by taking the
step again (supervise/sentinel.py).
"""

from __future__ import annotations

import math
import statistics
from collections import deque

_REMEMBERED = 128
_ENOUGH = 32
_DEVIATIONS = 20.0
_NORMAL = 1.4826  # median absolute deviations of a normal distribution in one standard deviation
_LEAST = 0.01  # of the median: a loss that hardly moves has no deviation to speak of


class AnomalyRule:
    """One figure's history. After a spike it has to learn anew, so that it costs a step at most in so many."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._values: deque[float] = deque(maxlen=_REMEMBERED)
        self._finite = True

    def suspicion(self, value: float) -> str | None:
        """Note `value`; why it is suspicious, if it is."""
        if not math.isfinite(value):
            first, self._finite = self._finite, False
            return f"{self._name} is {value}" if first else None
        self._finite = True
        usual = statistics.median(self._values) if len(self._values) >= _ENOUGH else math.inf
        deviation = statistics.median(abs(v - usual) for v in self._values) if math.isfinite(usual) else 0.0
        limit = usual + _DEVIATIONS * max(_NORMAL * deviation, _LEAST * abs(usual))
        if value > limit:
            self._values.clear()
        self._values.append(value)
        return f"{self._name} {value:.4g} is far above its median {usual:.4g}" if value > limit else None
