"""Who of several controllers acts: the one that holds a Kubernetes lease. Elsewhere there is one, and it acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from paceline.spec.errors import ClusterError
from paceline.spec.names import CONTROLLER_POD

_NAMESPACE, _NAME = CONTROLLER_POD
_COLLECTION = f"/apis/coordination.k8s.io/v1/namespaces/{_NAMESPACE}/leases"


class Lease(Protocol):
    """The right to act."""

    def hold(self) -> bool:
        """Take or renew it; whether it is held now. ClusterError when nobody can tell."""
        ...

    def release(self) -> None:
        """Let the next one have it at once."""
        ...


class OwnLease:
    """For a controller without rivals."""

    def hold(self) -> bool:
        return True

    def release(self) -> None:
        pass


class LeaseApi(Protocol):
    """The part of the API server that a lease needs. All of it raises ClusterError when it refuses."""

    def get(self, path: str) -> dict[str, Any] | None:
        """The object, None when there is none."""
        ...

    def create(self, path: str, body: Mapping[str, Any]) -> None: ...

    def update(self, path: str, body: Mapping[str, Any]) -> bool:
        """Replace the object; False when somebody changed it since it was read."""
        ...


class KubernetesLease:
    """Held by `holder` for `seconds` after each renewal.

    Whether another's has run out is measured by our own clock from when we saw it change, so that clocks need not
    agree. `clock` is in seconds and never goes back.
    """

    def __init__(self, api: LeaseApi, *, holder: str, seconds: int, clock: Callable[[], float]) -> None:
        self._api = api
        self._holder = holder
        self._seconds = seconds
        self._clock = clock
        self._seen: tuple[Any, float] = (None, 0.0)

    def hold(self) -> bool:
        found = self._api.get(f"{_COLLECTION}/{_NAME}")
        if found is None:
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": _NAME}}
            try:
                self._api.create(_COLLECTION, {**body, "spec": self._spec(0)})
            except ClusterError:
                if self._api.get(f"{_COLLECTION}/{_NAME}") is None:
                    raise
                return False  # another one was faster
            return True
        spec = found.get("spec", {})
        renewed = (spec.get("holderIdentity"), spec.get("renewTime"))
        if self._seen[0] != renewed:
            self._seen = (renewed, self._clock())
        other = spec.get("holderIdentity") not in (None, "", self._holder)
        if other and self._clock() - self._seen[1] < spec.get("leaseDurationSeconds", self._seconds):
            return False
        changed = spec.get("holderIdentity") != self._holder
        found["spec"] = self._spec(spec.get("leaseTransitions", 0) + changed)
        return self._api.update(f"{_COLLECTION}/{_NAME}", found)

    def release(self) -> None:
        found = self._api.get(f"{_COLLECTION}/{_NAME}")
        if found and found.get("spec", {}).get("holderIdentity") == self._holder:
            found["spec"]["holderIdentity"] = ""
            self._api.update(f"{_COLLECTION}/{_NAME}", found)

    def _spec(self, transitions: int) -> dict[str, Any]:
        return {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": self._seconds,
            "leaseTransitions": transitions,
            "renewTime": f"{datetime.now(UTC):%FT%T.%fZ}",
        }
