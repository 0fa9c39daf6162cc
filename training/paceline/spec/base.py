"""The base of every record that crosses a process or a file: frozen, and strict about its keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Immutable, refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
