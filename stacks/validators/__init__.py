"""What is wrong with parameters that are each right by themselves: a section a file. Every problem names its line."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from paceline.spec.documents import Document
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.validators import (
    alerts,
    capacity,
    delivery,
    eks,
    governance,
    hyperpod,
    network,
    observability,
    pods,
    slurm,
    storage,
)

_SECTIONS: tuple[Callable[[Team, Document], Iterator[Problem]], ...] = (
    network.problems,
    storage.problems,
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


def contradictions(team: Team, document: Document) -> Iterator[Problem]:
    """Problems between the sections of one team."""
    for problems in _SECTIONS:
        yield from problems(team, document)
