"""What a rank's flight recorder says of its collectives, in few words: how far the rank is in each process group.

The recorder is PyTorch's (paceline/engines/torch/flight_recorder.py). Both sides of a collective have the same number
for it in their group. Messages from one rank to another have not, and are left out.
"""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

from paceline.spec.base import Record


class Collective(Record):
    """One call of a collective: its `number` in the group, and what the rank gave, all tensors together."""

    name: str
    number: int
    elements: int
    dtype: str


class GroupRecord(Record):
    """How far a rank is in process group `group`, which all its members call so: the number of the last collective
    that it entered, and the oldest one that it waits in, if it does. `description` is what the group is for."""

    group: str
    description: str
    entered: int
    pending: Collective | None = None


def digest(dump: bytes) -> tuple[GroupRecord, ...]:
    """The groups of a recorder's JSON, those that wait for longest first; none of an empty one.

    A group that a rehearsal had may have had the name of one that lives: the newest counts.
    """
    trace = json.loads(dump or b"{}")
    calls: dict[int, list[dict[str, Any]]] = {}
    for entry in trace.get("entries", ()):
        calls.setdefault(entry["pg_id"], []).append(entry)
    found: dict[str, tuple[float, GroupRecord]] = {}
    for number, entries in sorted(calls.items()):
        group, description = entries[0]["process_group"]
        status = trace["pg_status"][str(number)]
        pending = _pending(entries, after=int(status["last_completed_collective"]))
        record = GroupRecord(
            group=group,
            description=description,
            entered=int(status["last_enqueued_collective"]),
            pending=_collective(pending) if pending is not None else None,
        )
        found[group] = (pending["record_id"] if pending is not None else math.inf, record)
    return tuple(record for _, record in sorted(found.values(), key=lambda pair: pair[0]))


def keep(dump: bytes, directory: Path, *, generation: int, rank: int) -> None:
    """Write the whole record beside the stacks (inquest.py), if there is one and room for it."""
    if not dump:
        return
    with contextlib.suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"hang-generation-{generation:04d}-rank-{rank:05d}.json").write_bytes(dump)


def _pending(entries: list[dict[str, Any]], *, after: int) -> dict[str, Any] | None:
    """The oldest collective that is not done. Of those that were made as one, only the last is ever marked so."""
    waiting = [e for e in entries if not e["is_p2p"] and not e["retired"] and e["collective_seq_id"] > after]
    return min(waiting, key=lambda e: int(e["collective_seq_id"]), default=None)


def _collective(entry: dict[str, Any]) -> Collective:
    return Collective(
        name=entry["profiling_name"],
        number=entry["collective_seq_id"],
        elements=sum(math.prod(size) for size in entry["input_sizes"]),
        dtype=", ".join(sorted(set(entry["input_dtypes"]))),
    )
