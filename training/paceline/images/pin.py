"""Fill the digests of bases: into the matrix, and into the Dockerfiles that name them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from paceline.images.matrix import Base, Located
from paceline.spec.documents import nearest
from paceline.spec.errors import ImageError, Problem

_DIGEST_LINE = re.compile(r'^digest = "[^"]*"')


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """A base, and the digests that its tag led to before (empty: none was known) and leads to now."""

    key: str
    base: Base
    digest: str

    @property
    def changed(self) -> bool:
        return self.base.digest != self.digest


def chosen(located: Located, keys: Sequence[str]) -> dict[str, Base]:
    """The bases of these names; without names all that a registry has. ImageError for a name that is none."""
    bases = located.matrix.bases
    if unknown := [key for key in keys if key not in bases]:
        hints = [
            Problem(message=f"no base `{key}` in {located.path.name}", hint=nearest(key, list(bases)))
            for key in unknown
        ]
        raise ImageError.of(hints)
    public = (key for key, base in bases.items() if not base.name.startswith("localhost/"))
    return {key: bases[key] for key in keys or public}


def resolve(bases: dict[str, Base], digest_of: Callable[[str, str], str]) -> list[Pin]:
    """Ask the registry (`digest_of(name, tag)`) for each base; ImageError with all that could not be asked."""
    pins: list[Pin] = []
    problems: list[Problem] = []
    for key, base in bases.items():
        try:
            pins.append(Pin(key=key, base=base, digest=digest_of(base.name, base.tag)))
        except ImageError as error:
            problems += error.problems
    if problems:
        raise ImageError.of(problems)
    return pins


def write(located: Located, pins: Sequence[Pin]) -> None:
    """Write the digests to the matrix and to the line `ARG BASE=` of every image that stands on such a base."""
    lines = located.path.read_text(encoding="utf-8").splitlines(keepends=True)
    for pin in pins:
        origin = located.document.origin(("bases", pin.key, "digest"))
        lines[origin.line - 1], found = _DIGEST_LINE.subn(f'digest = "{pin.digest}"', lines[origin.line - 1])
        if not found:
            raise ImageError(f"{origin}: bases.{pin.key}.digest: not on a line of its own", 'write `digest = ""` there')
    located.path.write_text("".join(lines), encoding="utf-8")
    for pin in pins:
        reference = pin.base.model_copy(update={"digest": pin.digest}).reference
        for name, image in located.matrix.images.items():
            if image.base == pin.key:
                path = located.root / "images" / name / "Dockerfile"
                text = path.read_text(encoding="utf-8")
                path.write_text(re.sub(r"(?m)^ARG BASE=.*$", f"ARG BASE={reference}", text), encoding="utf-8")
