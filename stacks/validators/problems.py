"""How a validator says what is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from paceline.spec.documents import Document, Path_, dotted
from paceline.spec.errors import Problem


def problem(document: Document, path: Path_, reason: str, hint: str) -> Problem:
    """A problem at `path` of `document`: file and line, path, the rule that is broken, and the cure."""
    return Problem(message=f"{document.origin(path)}: {dotted(path)}: {reason}", hint=hint)


@dataclass(frozen=True, slots=True)
class At:
    """A part of a document, to which paths are relative."""

    document: Document
    path: Path_

    def problem(self, path: Path_, reason: str, hint: str) -> Problem:
        return problem(self.document, (*self.path, *path), reason, hint)
