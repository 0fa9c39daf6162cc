"""Up to which record of the kernel log the agent has reported, so that one that is started again tells nothing
twice. Sequence numbers begin anew with each boot."""

from __future__ import annotations

import json
from pathlib import Path


class Bookmark:
    """A small file, and the boot that its number belongs to."""

    def __init__(self, path: Path, boot: str) -> None:
        self._path, self._boot = path, boot
        self._written: int | None = None

    def read(self) -> int | None:
        """The last record that was reported in this boot; None: none, or nobody knows."""
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            return int(content["record"]) if content["boot"] == self._boot else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, record: int) -> None:
        """Remember `record`. OSError when that is not possible."""
        if record == self._written:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"boot": self._boot, "record": record}), encoding="utf-8")
        fresh.replace(self._path)
        self._written = record
