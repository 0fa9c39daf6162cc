"""Which bases are copied where, so that a team's builds need no registry but its own."""

from __future__ import annotations

from dataclasses import dataclass

from paceline.images.matrix import Base
from paceline.spec.errors import ImageError, Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy:
    """From a digest to a tag; `base` is what a build is given then (`--build-arg BASE=...`)."""

    key: str
    source: str
    destination: str
    base: str


def plan(bases: dict[str, Base], to: str) -> list[Copy]:
    """One copy a base, to the repository `base-<key>` under `to`. ImageError for bases without a digest: a tag can move
    between the look and the copy."""
    unpinned = [key for key, base in bases.items() if not base.digest]
    if unpinned:
        hint = f"run `paceline images pin {' '.join(unpinned)}` first"
        raise ImageError.of([Problem(message=f"bases.{key}: no digest", hint=hint) for key in unpinned])
    return [
        Copy(
            key=key,
            source=f"{base.name}@{base.digest}",
            destination=f"{to}/base-{key}:{base.tag}",
            base=f"{to}/base-{key}:{base.tag}@{base.digest}",
        )
        for key, base in bases.items()
    ]
