"""Events of what spare nodes do for others while they stand by."""

from __future__ import annotations

from typing import Literal

from paceline.spec.events.base import Event


class SpareLent(Event):
    """`node`, a spare of the run, has begun `command` for others."""

    kind: Literal["spare.lent"] = "spare.lent"
    command: tuple[str, ...]


class SpareReturned(Event):
    """Nothing of the command runs on `node` any more, `seconds` after it began.

    `outcome`: it `finished`, and is not begun again; it `failed`, and is begun again later; or it was `reclaimed`, and
    gone `reclaim_seconds` after it was asked to end.
    """

    kind: Literal["spare.returned"] = "spare.returned"
    outcome: Literal["finished", "failed", "reclaimed"]
    reason: str | None = None
    seconds: float
    reclaim_seconds: float | None = None


SpareEvent = SpareLent | SpareReturned
