"""Nodes and pods of a Kubernetes cluster, as plain data.

The REST API by the standard library: the node agent's image should stay small, and its process too. Objects are
dictionaries as the API returns them.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from paceline.spec.errors import ClusterError

Object = dict[str, Any]

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_STRATEGIC = "application/strategic-merge-patch+json"
_ATTEMPTS = 5
_PAGE = 500


class Kubernetes(Protocol):
    """What paceline asks of a cluster. ClusterError when it says no or cannot be reached."""

    def nodes(self, selector: str = "") -> list[Object]:
        """The nodes that match a label selector."""
        ...

    def node(self, name: str) -> Object: ...

    def edit_node(self, name: str, edit: Callable[[Object], None]) -> Object:
        """Change a node (labels, annotations, taints, cordon) by a function of the newest object; it may be called
        again when somebody else was faster."""
        ...

    def set_condition(self, name: str, condition: Mapping[str, Any]) -> None:
        """Set one condition of a node's status, by its `type`."""
        ...

    def annotate_node(self, name: str, key: str, value: str | None) -> None:
        """Set one annotation of a node; None takes it away."""
        ...

    def delete_node(self, name: str) -> None: ...

    def pods(self, node: str) -> list[Object]:
        """The pods on a node, of all namespaces."""
        ...

    def evict(self, namespace: str, name: str) -> None:
        """Ask a pod to leave, as its disruption budget allows."""
        ...

    def delete_pod(self, namespace: str, name: str, grace_seconds: int) -> None: ...


def set_taint(node: Object, key: str, value: str, effect: str) -> None:
    """For `edit_node`: this taint, once."""
    clear_taint(node, key)
    node["spec"]["taints"].append({"key": key, "value": value, "effect": effect})


def clear_taint(node: Object, key: str) -> None:
    """For `edit_node`: no taint with this key."""
    spec = node.setdefault("spec", {})
    spec["taints"] = [taint for taint in spec.get("taints") or [] if taint["key"] != key]


class RestKubernetes:
    """A cluster behind its API server. The token is read for each request: it is renewed under way."""

    def __init__(self, url: str, token: Path | None = None, authority: Path | None = None) -> None:
        self._url, self._token = url.rstrip("/"), token
        context = ssl.create_default_context(cafile=str(authority) if authority else None)
        # the API server is never behind the proxy that the environment may name
        self._opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))

    @classmethod
    def connect(cls, url: str | None = None) -> RestKubernetes:
        """The cluster at `url` (`kubectl proxy` serves one without credentials), or the one around this pod."""
        if url is not None:
            return cls(url)
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if host is None:
            raise ClusterError("not in a Kubernetes cluster", "run in a pod, or name an API server")
        host = f"[{host}]" if ":" in host else host
        return cls(f"https://{host}:{port}", _ACCOUNT / "token", _ACCOUNT / "ca.crt")

    def nodes(self, selector: str = "") -> list[Object]:
        """See Kubernetes.nodes."""
        return list(self._call("GET", "/api/v1/nodes", query={"labelSelector": selector})["items"])

    def node(self, name: str) -> Object:
        """One node."""
        return self._call("GET", _node(name))

    def edit_node(self, name: str, edit: Callable[[Object], None]) -> Object:
        """See Kubernetes.edit_node: replaced with its resource version, so that nothing of others is lost."""
        left = _ATTEMPTS
        while True:
            node = self.node(name)
            edit(node)
            try:
                return self._call("PUT", _node(name), node)
            except _ConflictError:
                left -= 1
                if not left:
                    raise

    def set_condition(self, name: str, condition: Mapping[str, Any]) -> None:
        """See Kubernetes.set_condition."""
        patch = {"status": {"conditions": [dict(condition)]}}
        self._call("PATCH", f"{_node(name)}/status", patch, content=_STRATEGIC)

    def annotate_node(self, name: str, key: str, value: str | None) -> None:
        """See Kubernetes.annotate_node."""
        self.patch(_node(name), {"metadata": {"annotations": {key: value}}})

    def delete_node(self, name: str) -> None:
        """Delete the node's object; one that is gone is gone."""
        self._delete(_node(name), {})

    def pods(self, node: str) -> list[Object]:
        """See Kubernetes.pods."""
        return list(self._call("GET", "/api/v1/pods", query={"fieldSelector": f"spec.nodeName={node}"})["items"])

    def evict(self, namespace: str, name: str) -> None:
        """See Kubernetes.evict."""
        review = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        }
        self._call("POST", f"{_pod(namespace, name)}/eviction", review)

    def delete_pod(self, namespace: str, name: str, grace_seconds: int) -> None:
        """Delete a pod; one that is gone is gone."""
        self._delete(_pod(namespace, name), {"gracePeriodSeconds": grace_seconds})

    def list(self, path: str, **query: str) -> list[Object]:
        """All items of a collection, in pages, so that a large cluster's list fits into one answer after another."""
        items: list[Object] = []
        after = ""
        while True:
            page = self._call("GET", path, query={**query, "limit": str(_PAGE), "continue": after})
            items += page["items"]
            after = page["metadata"].get("continue", "")
            if not after:
                return items

    def get(self, path: str) -> Object | None:
        """One object; None when there is none."""
        try:
            return self._call("GET", path)
        except _GoneError:
            return None

    def create(self, path: str, body: Mapping[str, Any]) -> None:
        """Create an object, or a subresource such as an eviction."""
        self._call("POST", path, dict(body))

    def update(self, path: str, body: Mapping[str, Any]) -> bool:
        """Replace an object; False when somebody else changed it since it was read."""
        try:
            self._call("PUT", path, dict(body))
        except _ConflictError:
            return False
        return True

    def patch(self, path: str, body: Mapping[str, Any]) -> None:
        """A strategic merge patch."""
        self._call("PATCH", path, dict(body), content=_STRATEGIC)

    def _delete(self, path: str, options: Object) -> None:
        try:
            self._call("DELETE", path, options)
        except _GoneError:
            pass

    def _call(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
    ) -> Object:
        url = self._url + path + (f"?{urlencode(query)}" if query else "")
        request = Request(url, method=method, data=json.dumps(body).encode() if body is not None else None)
        request.add_header("Accept", "application/json")
        request.add_header("Content-Type", content)
        try:
            if self._token is not None:
                request.add_header("Authorization", f"Bearer {self._token.read_text().strip()}")
            with self._opener.open(request, timeout=10) as answer:
                return dict(json.load(answer))
        except HTTPError as error:
            raise _refusal(error, f"{method} {path}") from error
        except (URLError, OSError, ValueError) as error:
            raise ClusterError(f"{self._url}: {getattr(error, 'reason', error)}") from error


class _ConflictError(ClusterError):
    """Somebody else changed the object meanwhile."""


class _GoneError(ClusterError):
    """There is no such object."""


def _refusal(error: HTTPError, call: str) -> ClusterError:
    kind = {409: _ConflictError, 404: _GoneError}.get(error.code, ClusterError)
    try:
        why = json.load(error).get("message", error.reason)
    except (ValueError, AttributeError):
        why = error.reason
    hint = "the pod's service account needs a role that allows this" if error.code in (401, 403) else None
    return kind(f"Kubernetes: {call}: {error.code} {why}", hint)


def _node(name: str) -> str:
    return f"/api/v1/nodes/{quote(name)}"


def _pod(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}"
