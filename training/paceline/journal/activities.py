"""How each class of the ledger is called, explained and coloured, wherever it is shown."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from paceline.spec.base import Record
from paceline.spec.events import Activity


class Appearance(Record):
    """`light` and `dark` are colours as #rrggbb for the two schemes."""

    meaning: str
    light: str
    dark: str


@cache
def appearances() -> dict[Activity, Appearance]:
    """The appearance of every activity, in the order of a legend."""
    table = tomllib.loads(files(__package__).joinpath("activities.toml").read_text(encoding="utf-8"))
    return {Activity(name): Appearance.model_validate(row) for name, row in table.items()}


def label(activity: Activity) -> str:
    """Its name as words: `lost work`."""
    return activity.value.replace("_", " ")
