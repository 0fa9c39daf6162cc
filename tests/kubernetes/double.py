"""A small Kubernetes API server in memory: of the real one's rules those that paceline relies on, over HTTP.

Rights by role, resource versions, strategic merges, status as a part of its own, evictions that respect disruption
budgets, pods that end when their kubelet says so. The same scenes can be played on a real one.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.kubernetes.rights import Right

Object = dict[str, Any]

_PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<resource>[a-z]+)"
    r"(?:/(?P<name>[^/]+)(?:/(?P<subresource>[a-z]+))?)?"
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# by what the entries of a list are known to a strategic merge: the API's types say so
_KEYS = {"conditions": "type", "addresses": "type"}


class _RefusedError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Double:
    """`users` maps tokens to names; `allows` says what a user may. `calls` are those that were allowed, by user."""

    def __init__(self, users: Mapping[str, str], allows: Callable[[str, Right], bool]) -> None:
        self.calls: dict[str, set[Right]] = {}
        self._users, self._allows = users, allows
        self._objects: dict[tuple[str, str, str], Object] = {}
        self._version = 0
        self._lock = threading.Lock()

    def answer(self, method: str, address: str, token: str, body: Object) -> Object:
        """What is answered. _RefusedError with the code and words of the real one."""
        parts = urlsplit(address)
        found = _PATH.fullmatch(parts.path)
        if found is None:
            raise _RefusedError(404, "the server could not find the requested resource")
        namespace, resource, name, subresource = (
            found[part] or "" for part in ("namespace", "resource", "name", "subresource")
        )
        verb = _VERBS.get(method) or ("get" if name else "list")
        user = self._users.get(token)
        right = Right(found["group"] or "", f"{resource}/{subresource}" if subresource else resource, verb)
        if user is None or not self._allows(user, right):
            raise _RefusedError(403, f'{resource} is forbidden: User "{user}" cannot {verb} resource "{resource}"')
        with self._lock:
            self.calls.setdefault(user, set()).add(right)
            place = namespace, resource, name
            if verb == "list":
                return self._list(namespace, resource, dict(parse_qsl(parts.query)))
            if verb == "create":
                return self._evict(place, body) if subresource == "eviction" else self._create(place, body)
            if place not in self._objects:
                raise _RefusedError(404, f'{resource} "{name}" not found')
            if verb == "get":
                return self._objects[place]
            if verb == "delete":
                return self._delete(place, body.get("gracePeriodSeconds", 30))
            return self._update(place, body) if verb == "update" else self._patch(place, subresource, body)

    def _list(self, namespace: str, resource: str, query: Mapping[str, str]) -> Object:
        places = sorted(p for p in self._objects if p[1] == resource and namespace in ("", p[0]))
        items = [item for item in (self._objects[place] for place in places) if _selected(item, query)]
        begin, limit = int(query.get("continue") or 0), int(query.get("limit") or len(items))
        after = begin + limit
        return {"items": items[begin:after], "metadata": {"continue": str(after)} if after < len(items) else {}}

    def _create(self, place: tuple[str, str, str], body: Object) -> Object:
        namespace, resource, _ = place
        place = namespace, resource, body["metadata"]["name"]
        if place in self._objects:
            raise _RefusedError(409, f'{resource} "{place[2]}" already exists')
        kept = {**body, "metadata": {**body["metadata"], **({"namespace": namespace} if namespace else {})}}
        kept["status"] = {}
        return self._keep(place, kept)

    def _update(self, place: tuple[str, str, str], body: Object) -> Object:
        old = self._objects[place]
        if body["metadata"].get("resourceVersion") != old["metadata"]["resourceVersion"]:
            raise _RefusedError(409, "the object has been modified; please apply your changes to the latest version")
        return self._keep(place, {**body, "status": old["status"]})

    def _patch(self, place: tuple[str, str, str], subresource: str, body: Object) -> Object:
        parts = {"status"} if subresource == "status" else set(body) - {"status"}
        changed = _merged(self._objects[place], {part: body[part] for part in parts if part in body})
        return self._keep(place, changed)

    def _delete(self, place: tuple[str, str, str], grace: int) -> Object:
        found = self._objects[place]
        if place[1] == "pods" and grace and found["spec"].get("nodeName"):
            return self._keep(place, _merged(found, {"metadata": {"deletionTimestamp": "2026-11-21T00:00:00Z"}}))
        return self._objects.pop(place)

    def _evict(self, place: tuple[str, str, str], body: Object) -> Object:
        if (body.get("apiVersion"), body.get("kind")) != ("policy/v1", "Eviction"):
            raise _RefusedError(400, "no kind is registered for this version")
        if place not in self._objects:
            raise _RefusedError(404, f'pods "{place[2]}" not found')
        for key, budget in self._objects.items():
            covers = key[:2] == (place[0], "poddisruptionbudgets") and _matches(budget, self._objects[place])
            if covers and not budget["status"].get("disruptionsAllowed"):
                raise _RefusedError(429, "Cannot evict pod as it would violate the pod's disruption budget.")
        return self._delete(place, 30)

    def _keep(self, place: tuple[str, str, str], new: Object) -> Object:
        self._version += 1
        self._objects[place] = {**new, "metadata": {**new["metadata"], "resourceVersion": str(self._version)}}
        return self._objects[place]


@contextmanager
def serve(double: Double) -> Iterator[str]:
    """Its address, until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            try:
                code, answer = 200, double.answer(self.command, self.path, token, body)
            except _RefusedError as refused:
                code, answer = refused.code, {"kind": "Status", "message": refused.message}
            content = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - names of http.server

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _merged(old: Any, patch: Any, name: str = "") -> Any:
    """A strategic merge: by key in lists that have one, null takes away, `$patch: delete` an entry."""
    if isinstance(patch, Mapping):
        new = dict(old or {})
        for key, value in patch.items():
            if value is None:
                new.pop(key, None)
            else:
                new[key] = _merged(new.get(key), value, key)
        return new
    if isinstance(patch, list) and name in _KEYS:
        key = _KEYS[name]
        entries = {entry[key]: entry for entry in old or []}
        for entry in patch:
            if entry.get("$patch") == "delete":
                entries.pop(entry[key], None)
            else:
                entries[entry[key]] = _merged(entries.get(entry[key]), entry)
        return list(entries.values())
    return patch


def _selected(item: Object, query: Mapping[str, str]) -> bool:
    labels = item["metadata"].get("labels", {})
    wanted = (term.split("=") for term in query.get("labelSelector", "").split(",") if term)
    unwanted = (term.split("!=") for term in query.get("fieldSelector", "").split(",") if term)
    return all(labels.get(key) == value for key, value in wanted) and all(
        _field(item, path) != value for path, value in unwanted
    )


def _field(item: Any, path: str) -> Any:
    for part in path.split("."):
        item = item.get(part, {})
    return item


def _matches(budget: Object, pod: Object) -> bool:
    wanted = budget["spec"]["selector"]["matchLabels"].items()
    return wanted <= pod["metadata"].get("labels", {}).items()
