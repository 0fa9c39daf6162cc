"""Where a team lives."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from paceline.catalog.zones import is_region
from paceline.spec.base import Record
from stacks.settings.update import FIXED


def _account(value: object) -> object:
    if isinstance(value, int):
        raise ValueError(f'an account id is text, or leading zeros get lost ## write "{value:012d}"')
    return value


def _region(value: str) -> str:
    if not is_region(value):
        raise ValueError(f"{value} is not a region ## write a region name such as us-east-1")
    return value


Region = Annotated[str, AfterValidator(_region)]


class Location(Record):
    """Where the team lives."""

    account: Annotated[str, BeforeValidator(_account)] = Field(
        pattern=r"^\d{12}$",
        description="AWS account id, 12 digits, in quotes: YAML drops leading zeros",
        json_schema_extra=FIXED,
    )
    region: Region = Field(
        description="AWS region, e.g. us-east-1; all stacks of the team are there", json_schema_extra=FIXED
    )
