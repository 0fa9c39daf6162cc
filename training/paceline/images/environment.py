"""The variables that an accelerator's image sets (images/<name>/environment): a reason above each `NAME=value`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paceline.spec.errors import ImageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """`why` is the text of the comment above."""

    name: str
    value: str
    why: str


def read_environment(path: Path) -> list[Variable]:
    """The variables in order. ImageError for a line without a reason above it, or that is neither."""
    variables: list[Variable] = []
    reason: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        name, equals, value = line.partition("=")
        if line.startswith("# "):
            reason.append(line.removeprefix("# "))
        elif not line:
            reason = []
        elif not equals or not name.isidentifier() or not reason:
            raise ImageError(f"{path}:{number}: {line}: no reason above", "write `# reason`, then `NAME=value`")
        else:
            variables.append(Variable(name=name, value=value, why=" ".join(reason)))
            reason = []
    return variables
