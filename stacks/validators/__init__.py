"""What is wrong with parameters that are each right by themselves: a section a file. Every problem names its line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from paceline.spec.documents import Document
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.validators import (
    alerts,
    blocks,
    capacity,
    delivery,
    eks,
    governance,
    hyperpod,
    network,
    observability,
    pods,
    registry,
    slurm,
    storage,
)

_SECTIONS: tuple[Callable[[Team, Document], Iterator[Problem]], ...] = (
    network.problems,
    storage.problems,
    registry.problems,
    capacity.problems,
    eks.problems,
    pods.problems,
    alerts.problems,
    observability.problems,
    governance.problems,
    delivery.problems,
    slurm.problems,
    hyperpod.problems,
)
_BETWEEN_TEAMS: tuple[Callable[[Sequence[Team], Mapping[str, Document]], Iterator[Problem]], ...] = (
    network.overlaps,
    blocks.together,
    delivery.duplicates,
    registry.duplicates,
)


def contradictions(team: Team, document: Document) -> Iterator[Problem]:
    """Problems between the sections of one team."""
    for problems in _SECTIONS:
        yield from problems(team, document)


def conflicts(teams: Sequence[Team], documents: Mapping[str, Document]) -> Iterator[Problem]:
    """Problems between teams; `documents` holds the file of each by its name."""
    for problems in _BETWEEN_TEAMS:
        yield from problems(teams, documents)
