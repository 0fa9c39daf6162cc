"""What is wrong with a team's images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from paceline.spec.documents import Document, nearest
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.validators.problems import problem

_IMAGES = Path(__file__).parents[2] / "images"


def problems(team: Team, document: Document) -> Iterator[Problem]:
    """Problems of one team's registry."""
    settings = team.parameters.registry
    images = sorted(file.parent.name for file in _IMAGES.glob("*/Dockerfile"))
    for index, name in enumerate(settings.build):
        path = ("registry", "build", index)
        if name not in images:
            yield problem(document, path, f"there is no images/{name}/Dockerfile", nearest(name, images))
        elif name not in settings.repositories:
            reason = f"{name} is not one of registry.repositories: what is built has no place to go"
            yield problem(document, path, reason, "add it there")
    for index, region in enumerate(settings.replicate_to):
        if region == team.parameters.location.region:
            reason = f"{region} is the region that the team is in"
            yield problem(document, ("registry", "replicate_to", index), reason, "name other regions only")


def duplicates(teams: Sequence[Team], documents: Mapping[str, Document]) -> Iterator[Problem]:
    """An account has one configuration for signing in a region, and one for replication."""
    for key in ("signed", "replicate_to"):
        first: dict[tuple[str, str], str] = {}
        for team in teams:
            location = team.parameters.location
            if not getattr(team.parameters.registry, key):
                continue
            place = location.account, location.region
            if (owner := first.setdefault(place, team.name)) != team.name:
                reason = f"{owner} has this in account {location.account}, {location.region}, and there is one for all"
                yield problem(documents[team.name], ("registry", key), reason, "leave it to one of the two teams")
