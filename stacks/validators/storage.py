"""What is wrong with storage."""

from __future__ import annotations

from collections.abc import Iterator

from paceline.spec.documents import Document, nearest
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.validators.problems import problem


def problems(team: Team, document: Document) -> Iterator[Problem]:
    """Problems of one team's file system."""
    subnets = team.parameters.network.subnets
    if (zone := team.parameters.storage.file_system.zone) not in subnets:
        path = ("storage", "file_system", "zone")
        yield problem(document, path, f"{zone} is not a zone of network.subnets", nearest(zone, list(subnets)))
