"""What is wrong with storage."""

from __future__ import annotations

from collections.abc import Iterator

from paceline.catalog.instance_types import instance_types
from paceline.spec.documents import Document
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.settings.capacity import CapacitySource
from stacks.validators.problems import problem


def problems(team: Team, document: Document) -> Iterator[Problem]:
    """Problems of one team's file system."""
    file_system, sources = team.parameters.storage.file_system, team.parameters.capacity.values()
    zone = file_system.zone
    if file_system.efa and sources and not any(_reaches_over_efa(source, zone) for source in sources):
        reason = f"no capacity source in {zone} reaches it over EFA, and that cannot be changed later"
        hint = "move it to the zone of the accelerators, or leave efa out"
        yield problem(document, ("storage", "file_system", "efa"), reason, hint)


def _reaches_over_efa(source: CapacitySource, zone: str) -> bool:
    """Whether nodes of `source` can. EFA crosses no zones (EC2 User Guide, efa.html); for the types see the catalog."""
    row = instance_types().get(source.instance_type)
    return source.zone == zone and (row is None or (row.has_efa and row.fsx_lustre_efa_client is not False))
