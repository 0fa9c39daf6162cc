"""What two recipes do differently."""

from __future__ import annotations

from dataclasses import dataclass

from paceline.recipe.load import Resolved, Value


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A value that only one of two recipes has, or that differs; None: that recipe has no such value."""

    path: str
    left: Value | None
    right: Value | None


def differences(left: Resolved, right: Resolved) -> list[Difference]:
    """By path, in the order of the schema; names and descriptions are not compared."""
    ours = {value.path: value for value in left.values()}
    theirs = {value.path: value for value in right.values()}
    found = []
    for path in dict.fromkeys([*ours, *theirs]):
        a, b = ours.get(path), theirs.get(path)
        same = a is not None and b is not None and a.value == b.value
        if not same and path not in ("name", "description"):
            found.append(Difference(path=path, left=a, right=b))
    return found
