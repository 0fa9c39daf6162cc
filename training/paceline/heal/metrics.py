"""What the controller shows to Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from paceline.heal.healer import Round
from paceline.journal.exposition import Sample, exposition
from paceline.spec.metrics import (
    HEAL_HELD,
    HEAL_LEADS,
    HEAL_NODES,
    HEAL_OUT,
    HEAL_REFUSED,
    HEAL_ROUND_TIMESTAMP,
    SPARES,
    SPARES_WANTED,
)


def shown(team: str, *, leads: bool, last: Round | None, at: float) -> str:
    """The text of `/metrics`. One that does not lead knows nothing of the fleet, and shows nothing of it."""
    families: dict[str, Iterable[Sample]] = {HEAL_LEADS: [({}, float(leads))]}
    if leads and last is not None:
        families[HEAL_NODES] = [({}, last.nodes)]
        families[HEAL_OUT] = [({"phase": phase}, count) for phase, count in last.phases.items()]
        families[HEAL_HELD] = [({}, last.held)]
        families[HEAL_REFUSED] = [({}, len(last.refused))]
        families[SPARES] = [({}, last.spares)]
        families[SPARES_WANTED] = [({}, last.wanted)]
        families[HEAL_ROUND_TIMESTAMP] = [({}, at)]
    return exposition(families, team=team)
