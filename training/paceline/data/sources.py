"""What a person asks to be tokenised: places, their names, and how much of each a batch shall hold."""

from __future__ import annotations

import math
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from paceline.data.corpus import Document, interpreter_documentation
from paceline.data.files import read_files
from paceline.data.progress import Progress
from paceline.spec.documents import nearest
from paceline.spec.errors import DataError, Problem

LARGEST_CYCLE = 1_000_000  # samples in which the shares of a mixture come out exactly

_NAMED = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*)=(?P<place>.+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """`places` by their names; a single place may have the name "". `mixture` are the parts of each, or None for all
    documents together as they are."""

    places: dict[str, str]
    mixture: dict[str, int] | None

    @classmethod
    def parse(cls, sources: Sequence[str], weights: Sequence[str]) -> Self:
        """From `[name=]place` and `name=number`; one DataError names everything that is wrong with them."""
        problems: list[Problem] = []
        places: dict[str, str] = {}
        for source in sources:
            named = _NAMED.fullmatch(source)
            name, place = (named["name"], named["place"]) if named else ("", source)
            if name in places:
                hint = "give each source a name of its own: name=place"
                problems.append(Problem(message=f"{source}: a second source called `{name}`", hint=hint))
            places[name] = place
        shares = {}
        for weight in weights:
            name, _, number = weight.partition("=")
            try:
                shares[name] = Fraction(number)
            except (ValueError, ZeroDivisionError):
                shares[name] = Fraction(0)
            if shares[name] <= 0:
                problems.append(Problem(message=f"--weight {weight}: not a weight", hint="write name=0.7"))
            if name not in places:
                known = nearest(name, list(places)) if places else "name a source: name=place"
                problems.append(Problem(message=f"--weight {weight}: there is no source `{name}`", hint=known))
        if unweighted := [name for name in places if shares and name not in shares]:
            message = f"no weight for {', '.join(name or places[name] for name in unweighted)}"
            problems.append(Problem(message=message, hint="weigh every source, or none to take all text as it is"))
        if problems:
            raise DataError.of(problems)
        return cls(places=places, mixture=_parts(shares) if shares else None)

    @property
    def description(self) -> str:
        """For the manifest."""
        if not self.places:
            return f"documentation of {platform.python_implementation()} {platform.python_version()}"
        return ", ".join(f"{name}={place}" if name else place for name, place in self.places.items())

    def documents(self, *, field: str, minimum_characters: int, progress: Progress) -> list[Document]:
        """All documents of all places, each with the name of its source; DataError as in `data.files`."""
        if not self.places:
            progress("read the documentation", 0, 1)
            documents = list(interpreter_documentation())
            progress("read the documentation", 1, 1)
            return documents
        found: list[Document] = []
        for name, place in self.places.items():
            found += read_files(
                place, source=name, field=field, minimum_characters=minimum_characters, progress=progress
            )
        return found


def _parts(shares: dict[str, Fraction]) -> dict[str, int]:
    """The smallest whole numbers in the ratio of `shares`."""
    scale = math.lcm(*(share.denominator for share in shares.values()))
    numbers = {name: int(share * scale) for name, share in shares.items()}
    common = math.gcd(*numbers.values())
    parts = {name: number // common for name, number in numbers.items()}
    if sum(parts.values()) > LARGEST_CYCLE:
        raise DataError(
            f"--weight: these shares come out exactly only every {sum(parts.values()):,} samples",
            f"round them, so that it is at most every {LARGEST_CYCLE:,}",
        )
    return parts
