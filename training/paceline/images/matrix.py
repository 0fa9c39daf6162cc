"""The matrix of images (images/versions.toml): what each image is made of, typed, with the line of every value.

TOML has no null. What no source says is written `unknown = "why"` in the place of the version, and is None here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from paceline.images.requirement import Requirement
from paceline.spec.base import Record
from paceline.spec.documents import Document, Origin, Path_, validate
from paceline.spec.errors import ImageError

# Relative to the root of the repository.
MATRIX = Path("images", "versions.toml")

_TABLE = re.compile(r"^(\[\[?)([\w.-]+)\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^([\w-]+)\s*=")
_TOML_LINE = re.compile(r" \(at line (\d+), column \d+\)$")

Sources = Annotated[tuple[str, ...], Field(min_length=1, description="keys of the table `sources`")]


class Base(Record):
    """The image that ours stand on. An empty digest was not asked for yet; `ends` None was found in no source."""

    name: str
    tag: str
    digest: str = Field(
        pattern=r"^(sha256:[0-9a-f]{64})?$", description="`sha256:...`, or empty: `paceline images pin`"
    )
    ends: date | None = None
    sources: Sources

    @property
    def reference(self) -> str:
        """What a Dockerfile names: the tag for people, the digest for machines where it is known."""
        return f"{self.name}:{self.tag}" + (f"@{self.digest}" if self.digest else "")


class Part(Record):
    """One thing with a version: inside an image, or needed of its host (the lowest that works)."""

    version: str | None = None
    unknown: str | None = Field(default=None, description="why no version is known")
    probe: str | None = Field(default=None, description="how smoke.py asks the image: images/common/inside.py")
    ends: date | None = None
    sources: Sources

    @model_validator(mode="after")
    def _version_or_reason(self) -> Self:
        if (self.version is None) == (self.unknown is None):
            raise ValueError('either a version or why it is unknown ## write `version = "..."` or `unknown = "why"`')
        return self


class Image(Record):
    """One folder of images/. `arguments` are the build arguments that are no versions of something inside."""

    title: str
    base: str
    stack: str = Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$", description="what a tag says of the contents")
    preview: bool = False
    arguments: dict[str, str]
    contents: dict[str, Part]
    host: dict[str, Part] = Field(default_factory=dict)

    def part(self, name: str) -> Part | None:
        """What the image holds, or asks of its host, under that name."""
        return self.contents.get(name) or self.host.get(name)


class Rule(Record):
    """Where `when` holds for the contents of an image, `needs` must hold for its contents or its host."""

    when: Requirement
    needs: Requirement
    sources: Sources


class Obsolete(Record):
    """A variable that no image may set."""

    why: str
    sources: Sources


class Matrix(Record):
    """The whole file. `version` is paceline's."""

    version: str
    sources: dict[str, str]
    bases: dict[str, Base]
    images: dict[str, Image]
    rules: tuple[Rule, ...]
    obsolete: dict[str, Obsolete]

    def base_of(self, image: str) -> Base:
        """The base of an image."""
        return self.bases[self.images[image].base]


@dataclass(frozen=True, kw_only=True, slots=True)
class Located:
    """A matrix and where each of its values is written."""

    matrix: Matrix
    document: Document
    path: Path

    @property
    def root(self) -> Path:
        """The root of the repository that the matrix belongs to."""
        return self.path.parent.parent


def find(start: Path) -> Path:
    """The matrix of the checkout that `start` lies in. ImageError if there is none."""
    for folder in (start, *start.parents):
        if (path := folder / MATRIX).is_file():
            return path
    raise ImageError(
        f"{start}: not inside a checkout: there is no {MATRIX} here or above",
        "the images are not part of the package: clone the repository and run this in it",
    )


def read(path: Path) -> Located:
    """The matrix in `path`; ImageError that holds everything that is wrong with its form."""
    source = str(MATRIX) if path.parts[-2:] == MATRIX.parts else str(path)
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError as cause:
        raise ImageError(
            f"{source}: cannot be read: {cause.strerror}", "name a file like images/versions.toml"
        ) from cause
    except tomllib.TOMLDecodeError as cause:
        found = _TOML_LINE.search(str(cause))
        where = f"{source}:{found[1]}" if found else source
        raise ImageError(f"{where}: {_TOML_LINE.sub('', str(cause))}", "check quotes and brackets there") from cause
    document = Document(data=data, origins=dict(_origins(text, source)))
    return Located(matrix=validate(Matrix, document, ImageError), document=document, path=path)


def _origins(text: str, source: str) -> Iterator[tuple[Path_, Origin]]:
    """Where each table and each key at the beginning of a line is written; what is nested in a line is found by it."""
    yield (), Origin(source=source, line=1)
    table: Path_ = ()
    entries: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        origin = Origin(source=source, line=number)
        if header := _TABLE.match(line):
            table = tuple(header[2].split("."))
            if header[1] == "[[":
                entries[header[2]] = entries.get(header[2], -1) + 1
                table = (*table, entries[header[2]])
            yield table, origin
        elif key := _KEY.match(line):
            yield (*table, key[1]), origin
