"""Who hears of alarms."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from paceline.spec.base import Record
from stacks.settings.lists import Distinct
from stacks.settings.update import LIVE


def _endpoint(value: str) -> str:
    if value.startswith("http://"):
        raise ValueError(f"{value} would carry alarms in the clear ## use https://")
    if value.startswith("https://"):
        if not re.fullmatch(r"https://[A-Za-z0-9.-]+(:\d+)?(/\S*)?", value):
            raise ValueError(f"{value} is not a URL ## write https://host/path")
    elif not re.fullmatch(r"[\w.+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", value, re.ASCII):
        raise ValueError(f"{value} is neither an e-mail address nor an https:// URL ## write name@example.com")
    return value


Endpoint = Annotated[str, AfterValidator(_endpoint)]


class Alerts(Record):
    """E-mail addresses and https:// endpoints by severity. AWS asks each for a confirmation first."""

    critical: Distinct[Endpoint] = Field(
        default=(),
        description="who hears what must be looked at now, among it the coming end of capacity: a pager, the people"
        " on call",
        json_schema_extra=LIVE,
    )
    warning: Distinct[Endpoint] = Field(
        default=(), description="who hears what can wait until tomorrow, budgets among it", json_schema_extra=LIVE
    )
