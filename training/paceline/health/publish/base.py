"""What a listener is told."""

from __future__ import annotations

from typing import Protocol

from paceline.health.standing import Standing


class Publisher(Protocol):
    """Told again and again: nothing may depend on having been told before. What a listener refuses is a ClusterError
    or an OSError; the agent says so and tells it again later."""

    name: str

    async def publish(self, standing: Standing) -> None:
        """How the node stands now."""
        ...
