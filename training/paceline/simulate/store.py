"""A store that keeps nothing: evidence of faults that never were."""

from __future__ import annotations

from collections.abc import Iterator

from paceline.clients.object_store import Bytes


class Nowhere:
    """An ObjectStore that is always empty."""

    uri = "nowhere:"

    def put(self, key: str, content: Bytes) -> None:
        pass

    def create(self, key: str, content: Bytes) -> None:
        pass

    def get(self, key: str) -> bytes:
        raise FileNotFoundError(key)

    def get_range(self, key: str, first: int, stop: int) -> bytes:
        raise FileNotFoundError(key)

    def size(self, key: str) -> int:
        raise FileNotFoundError(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        return iter(())

    def delete(self, key: str) -> None:
        pass
