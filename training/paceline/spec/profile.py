"""A wish for a trace of the next steps, left in a run's directory; the run takes it away when it begins to trace."""

from __future__ import annotations

from pydantic import Field

from paceline.spec.base import Record

PROFILE_REQUEST = "profile.json"
PROFILE_DIRECTORY = "profiles"


class ProfileRequest(Record):
    steps: int = Field(ge=1, le=100)
