"""Read a run's journal: the events of all producers in one order, whole or as they are written."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from paceline.spec.errors import JournalError, Problem
from paceline.spec.events import EVENT, SCHEMA_VERSION, AnyEvent


class Reading(NamedTuple):
    """All events by time, and the files whose last line a killed writer left unfinished."""

    events: list[AnyEvent]
    torn: tuple[str, ...]


def read(directory: Path) -> Reading:
    """The journal in `directory` as it is now. Raises JournalError if it is missing, damaged or too new."""
    follower = Follower(directory)
    events = follower.poll()
    if not events and not follower.torn:
        raise JournalError(
            f"{directory}: no journal: there is no event in it", "name the directory that holds the run's *.jsonl files"
        )
    return Reading(events, follower.torn)


@dataclass(slots=True)
class _Place:
    """How far a file was read: always just after a line's end."""

    offset: int = 0
    line: int = 0
    torn: bool = False


class Follower:
    """Reads a journal while it is written. Each `poll` costs what was written since the last one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._places: dict[str, _Place] = {}

    def poll(self) -> list[AnyEvent]:
        """The new events, by time; those of one instant in the order of their producers' names and lines.

        An unfinished last line is left for a later poll. Raises JournalError for any other line that is not an event.
        """
        events: list[AnyEvent] = []
        problems: list[Problem] = []
        for name, size in self._files():
            place = self._places.setdefault(name, _Place())
            if size == place.offset:
                place.torn = False
                continue
            try:
                events += _advance(self.directory / name, place)
            except JournalError as error:
                problems += error.problems
        if problems:
            raise JournalError.of(problems)
        return sorted(events, key=lambda event: event.time)

    @property
    def torn(self) -> tuple[str, ...]:
        """The files that ended in the middle of a line at the last poll."""
        return tuple(name for name, place in self._places.items() if place.torn)

    def _files(self) -> list[tuple[str, int]]:
        """Name and size of every producer's file. Of many most have said nothing since the last poll: no Path is made
        of them."""
        try:
            with os.scandir(self.directory) as entries:
                return sorted((each.name, each.stat().st_size) for each in entries if each.name.endswith(".jsonl"))
        except (FileNotFoundError, NotADirectoryError):
            return []


def _advance(path: Path, place: _Place) -> list[AnyEvent]:
    with path.open("rb") as file:
        file.seek(place.offset)
        content = file.read()
    whole, _, rest = content.rpartition(b"\n")
    place.torn = bool(rest)
    if len(rest) == len(content):
        return []
    events = []
    for number, line in enumerate(whole.split(b"\n"), start=place.line + 1):
        try:
            events.append(EVENT.validate_json(line))
        except ValidationError as cause:
            raise _refusal(f"{path}:{number}", line, cause) from cause
    place.offset += len(content) - len(rest)
    place.line += len(events)
    return events


def _refusal(where: str, line: bytes, cause: ValidationError) -> JournalError:
    try:
        version = json.loads(line)["schema_version"]
    except (ValueError, TypeError, KeyError):
        version = None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        return JournalError(
            f"{where}: schema_version: the event has version {version}, this paceline reads up to {SCHEMA_VERSION}",
            "read the run with the paceline that wrote it, or with a newer one",
        )
    first = cause.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "line"
    return JournalError(
        f"{where}: {place}: not an event: {first['msg']}",
        "the file was changed after it was written; restore it, or remove the line to go on without that event",
    )
