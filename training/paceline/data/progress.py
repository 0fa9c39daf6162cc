"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, units done, units in all), at least at the start and at the end."""


def silent(what: str, done: int, total: int) -> None:
    """For callers with nobody to tell."""
