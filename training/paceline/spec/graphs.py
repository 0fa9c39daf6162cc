"""The manifest of graphs that were compiled ahead of a run: the only proof that they exist."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from paceline.spec.base import Record
from paceline.spec.manifest import FileRecord


class GraphFile(FileRecord):
    """A file of the compiler's cache; `name` is relative to the cache, where versions hold a plus sign."""

    name: str = Field(pattern=r"^\w[\w.+-]*(/\w[\w.+-]*)+$")

    @property
    def module(self) -> str:
        """The graph that it belongs to, `MODULE_<hash of the graph>+<hash of the flags>`."""
        return self.name.rsplit("/", 2)[-2]


class GraphsManifest(Record):
    """Compiled graphs of one kind of run. `key` is the SHA-256 of `made_from`."""

    format_version: int = 1
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    created: datetime
    made_from: dict[str, Any] = Field(description="versions, flags, layout, shapes and the recipe's part in the graphs")
    files: tuple[GraphFile, ...] = Field(min_length=1)

    @property
    def modules(self) -> frozenset[str]:
        """The graphs by name."""
        return frozenset(file.module for file in self.files)

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)
