"""Read what healer and agents have written on a node's object. People and other versions write there too: what cannot
be read must neither end the healer nor free a node."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from paceline.spec.healing import Answer, Case, Phase
from paceline.spec.health import Action, Finding, Result

_FINDINGS: TypeAdapter[tuple[Finding, ...]] = TypeAdapter(tuple[Finding, ...])
_NEVER = datetime.fromtimestamp(0, UTC)


def parsed(text: str | bytes | None) -> Any:
    """The JSON of a note: None when there is none, and the text itself when it is not JSON."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


def read_case(node: str, plain: Any) -> Case | None:
    """The incident; one that cannot be read keeps the node out, for a person to look at."""
    if plain is None:
        return None
    try:
        return Case.model_validate(plain)
    except ValidationError:
        return Case(
            id=f"{node}-unreadable",
            node=node,
            action=Action.ISOLATE,
            reason="what is written on the node about its incident cannot be read",
            opened=_NEVER,
            phase=Phase.ISOLATED,
            since=_NEVER,
        )


def read_findings(node: str, plain: Any) -> tuple[Finding, ...]:
    """The agent's findings; what cannot be read is one that says nothing."""
    try:
        return _FINDINGS.validate_python(plain or ())
    except ValidationError:
        return (Finding(node=node, check="agent", result=Result.UNKNOWN, time=_NEVER),)


def read_answer(plain: Any) -> Answer | None:
    """The agent's answer; what cannot be read is none."""
    try:
        return Answer.model_validate(plain) if plain is not None else None
    except ValidationError:
        return None
