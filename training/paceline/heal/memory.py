"""What was done about faults, kept beside the evidence: it outlives nodes, so that a board that comes back is known.

One object per remedy, under the day it was opened: `remedies/2026-11-21/<id>.json`. Writing it again changes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import ValidationError

from paceline.clients.object_store import ObjectStore
from paceline.spec.errors import StorageError
from paceline.spec.healing import Remedy

_PREFIX = "remedies/"


class Memory:
    """All remedies since `since`, read once; later ones are added as they are written."""

    def __init__(self, store: ObjectStore, since: datetime) -> None:
        self._store = store
        self._remedies: dict[str, Remedy] = {}
        for key in store.list(_PREFIX):
            if key.removeprefix(_PREFIX) >= f"{since:%F}":
                remedy = _read(store, key)
                self._remedies[remedy.id] = remedy

    def remedies(self) -> list[Remedy]:
        """Oldest first."""
        return sorted(self._remedies.values(), key=lambda remedy: (remedy.time, remedy.id))

    def keep(self, remedy: Remedy) -> None:
        """Remember it; one of the same id is replaced."""
        if self._remedies.get(remedy.id) != remedy:
            self._store.put(f"{_PREFIX}{remedy.time:%F}/{remedy.id}.json", remedy.model_dump_json().encode())
            self._remedies[remedy.id] = remedy

    def close(self, node: str, now: datetime) -> None:
        """Everything that lasts on `node` has ended."""
        for remedy in self.remedies():
            if remedy.node == node and remedy.closed is None:
                self.keep(remedy.model_copy(update={"closed": now}))

    def forget(self, before: datetime) -> None:
        """Drop from memory what is older; the store keeps it for people."""
        self._remedies = {key: remedy for key, remedy in self._remedies.items() if remedy.time >= before}


def _read(store: ObjectStore, key: str) -> Remedy:
    try:
        return Remedy.model_validate_json(store.get(key))
    except ValidationError as cause:
        raise StorageError(
            f"{store.uri}/{key}: not a remedy that this paceline can read: {cause.errors()[0]['msg']}",
            "use the paceline that wrote it, or move the file away",
        ) from cause


def remembered_since(now: datetime, seconds: float) -> datetime:
    """From when on remedies count."""
    return now - timedelta(seconds=seconds)
