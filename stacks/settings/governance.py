"""Who may do what, and what it may cost."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from paceline.spec.base import Record
from stacks.settings.lists import Distinct
from stacks.settings.update import LIVE, REPLACE


def _role(value: str) -> str:
    if re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:(root|user/.+)", value):
        raise ValueError(f"{value} is not a role ## people sign in through a role: write its ARN")
    if not re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/*-]+", value, re.ASCII):
        raise ValueError(f"{value} is not the ARN of a role ## write arn:aws:iam::<account>:role/<name>")
    name = value.rsplit("/", 1)[-1]
    if "*" in value[:-1] or re.fullmatch(r".{0,3}\*", name):
        raise ValueError(f"{value} matches too many roles ## a * may only end a name, as in .../AWSReservedSSO_Ops_*")
    return value


def _percent(values: tuple[int, ...]) -> tuple[int, ...]:
    if list(values) != sorted(values):
        raise ValueError("thresholds do not rise ## write the lowest first")
    return values


RolePattern = Annotated[str, AfterValidator(_role)]
Threshold = Annotated[int, Field(ge=1, le=1000)]
Thresholds = Annotated[Distinct[Threshold], AfterValidator(_percent)]


class People(Record):
    """Who may take a role of the team, and for how long."""

    trusted: Distinct[RolePattern] = Field(
        min_length=1,
        description="ARNs of roles that may take this one; a `*` may end a name, as IAM Identity Center adds a suffix",
        json_schema_extra=LIVE,
    )
    session_hours: int = Field(
        default=8, ge=1, le=12, description="hours after which the role must be taken again", json_schema_extra=LIVE
    )


class Budget(Record):
    """A month's costs of everything that carries the team's tag."""

    monthly_usd: int = Field(
        gt=0,
        description="US dollars per calendar month. It stops nothing: it is what the alarms are a share of",
        json_schema_extra=LIVE,
    )
    actual_percent: Thresholds = Field(
        default=(50, 80, 100),
        description="percent of it that is spent: one alarm at each, to alerts.warning",
        json_schema_extra=REPLACE,
    )
    forecast_percent: Thresholds = Field(
        default=(100,),
        description="percent of it that AWS expects by the end of the month: one alarm at each, to alerts.warning",
        json_schema_extra=REPLACE,
    )


class Governance(Record):
    """Roles of people and programs, and a budget."""

    researchers: People | None = Field(
        default=None,
        description="who takes the role of researchers: read and write data, read checkpoints, push images, start"
        " runs, open shells. Without it there is no such role",
        json_schema_extra=LIVE,
    )
    operators: People | None = Field(
        default=None,
        description="who takes the role of operators: open shells, repair nodes, silence alerts, read logs. Without"
        " it there is no such role",
        json_schema_extra=LIVE,
    )
    budget: Budget | None = Field(default=None, description="alarms on costs; without it none", json_schema_extra=LIVE)
