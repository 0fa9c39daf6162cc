"""The resources that are only remembered, per account and region.

The store has the three functions that ministack asks of a service module, so ministack itself saves and restores it
together with its own state.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ministack.core.responses import AccountRegionScopedDict


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """One remembered resource. `physical_id` is what `Ref` gives, `id` the service's own identifier."""

    type_name: str
    physical_id: str
    id: str
    properties: dict[str, Any]
    attributes: dict[str, str]
    created: float


class Store:
    """Resources by type and physical id, of the account and region of the request at hand."""

    def __init__(self) -> None:
        self._resources = AccountRegionScopedDict()

    def put(self, resource: Resource) -> None:
        self._resources[resource.type_name, resource.physical_id] = asdict(resource)

    def get(self, type_name: str, physical_id: str) -> Resource | None:
        record = self._resources.get((type_name, physical_id))
        return Resource(**record) if record else None

    def remove(self, type_name: str, physical_id: str) -> None:
        self._resources.pop((type_name, physical_id), None)

    def all(self, type_name: str) -> Iterator[Resource]:
        """Every resource of a type, in the order of creation."""
        for record in list(self._resources.values()):
            if record["type_name"] == type_name:
                yield Resource(**record)

    # what ministack asks of a service module

    def get_state(self) -> dict[str, Any]:
        return {"resources": copy.deepcopy(self._resources)}

    def load_persisted_state(self, state: dict[str, Any]) -> None:
        self._resources = state["resources"]

    def reset(self) -> None:
        self._resources.clear()
