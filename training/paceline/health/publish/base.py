"""Whom the agent talks to: listeners, and desks where the healer leaves its orders."""

from __future__ import annotations

from typing import Protocol

from paceline.health.standing import Standing
from paceline.spec.healing import Answer, Order


class Publisher(Protocol):
    """Told again and again: nothing may depend on having been told before. What a listener refuses is a ClusterError
    or an OSError; the agent says so and tells it again later."""

    name: str

    async def publish(self, standing: Standing) -> None:
        """How the node stands now."""
        ...


class Desk(Publisher, Protocol):
    """A listener whose object of the node also carries the healer's orders, and the agent's answers."""

    async def order(self) -> Order | None:
        """The order that has no answer yet; None: there is none, or it cannot be read."""
        ...

    async def answer(self, answer: Answer) -> None:
        """Put the answer where the healer reads it."""
        ...
