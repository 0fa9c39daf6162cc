"""Numbered steps with their times, for a person who watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from paceline.journal.units import duration

_INDENT = " " * 6


class Steps:
    """Announces each step as it begins and says how long it took; `note` adds a line in between."""

    def __init__(self, *, total: int, say: Callable[[str], None]) -> None:
        self._total = total
        self._say = say
        self._number = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self._number += 1
        self._say(f"[{self._number}/{self._total}] {title}")
        started = time.monotonic()
        yield
        self.note(f"done in {duration(time.monotonic() - started)}")

    def note(self, text: str) -> None:
        self._say(f"{_INDENT}{text}")
