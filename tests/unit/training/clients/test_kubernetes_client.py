"""The Kubernetes client against a server on loopback that keeps one node."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from paceline.clients.kubernetes import Object, RestKubernetes, clear_taint, set_taint
from paceline.spec.errors import ClusterError


class _Api(BaseHTTPRequestHandler):
    """Of Kubernetes' rules these: a replacement needs the newest resource version; a condition is merged by type."""

    node: Object
    calls: list[tuple[str, str]]
    conflicts: int

    def do_GET(self) -> None:
        self._seen()
        if self.path.startswith("/api/v1/pods"):
            self._answer(200, {"items": [{"metadata": {"name": "p", "namespace": "n"}}]})
        elif self.path.startswith("/api/v1/nodes/gpu-1"):
            self._answer(200, self.node)
        elif self.path.startswith("/api/v1/nodes?"):
            self._answer(200, {"items": [self.node]})
        else:
            self._answer(404, {"message": "nodes not found"})

    def do_PUT(self) -> None:
        body = self._seen()
        if type(self).conflicts:
            type(self).conflicts -= 1
            type(self).node["metadata"]["resourceVersion"] += 1
        if body["metadata"]["resourceVersion"] != self.node["metadata"]["resourceVersion"]:
            self._answer(409, {"message": "the object has been modified"})
            return
        type(self).node = body
        self._answer(200, body)

    def do_PATCH(self) -> None:
        body = self._seen()
        assert self.headers["Content-Type"] == "application/strategic-merge-patch+json"
        type(self).node["status"] = body["status"]
        self._answer(200, self.node)

    def do_POST(self) -> None:
        self._seen()
        self._answer(429, {"message": "Cannot evict pod as it would violate the pod's disruption budget."})

    def do_DELETE(self) -> None:
        self._seen()
        self._answer(404, {"message": "not found"})

    def _seen(self) -> Any:
        type(self).calls.append((self.command, self.path))
        length = int(self.headers.get("Content-Length") or 0)
        return json.loads(self.rfile.read(length)) if length else None

    def _answer(self, code: int, body: Object) -> None:
        content = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def api() -> Iterator[tuple[RestKubernetes, type[_Api]]]:
    handler = type("Api", (_Api,), {"calls": [], "conflicts": 0})
    handler.node = {"metadata": {"name": "gpu-1", "resourceVersion": 1}, "spec": {}}
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield RestKubernetes.connect(f"http://127.0.0.1:{server.server_port}"), handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_taint_is_set_once_and_cleared(api: tuple[RestKubernetes, type[_Api]]) -> None:
    kubernetes, server = api

    for _ in range(2):
        kubernetes.edit_node("gpu-1", lambda node: set_taint(node, "paceline.dev/unhealthy", "x", "NoSchedule"))
    assert server.node["spec"]["taints"] == [{"key": "paceline.dev/unhealthy", "value": "x", "effect": "NoSchedule"}]

    kubernetes.edit_node("gpu-1", lambda node: clear_taint(node, "paceline.dev/unhealthy"))
    assert server.node["spec"]["taints"] == []


def test_a_change_that_somebody_overtook_is_made_again(api: tuple[RestKubernetes, type[_Api]]) -> None:
    kubernetes, server = api
    server.conflicts = 2

    kubernetes.edit_node("gpu-1", lambda node: set_taint(node, "k", "v", "NoSchedule"))

    assert server.node["spec"]["taints"][0]["key"] == "k"
    assert [method for method, _ in server.calls] == ["GET", "PUT"] * 3


def test_nodes_and_pods_are_selected_by_the_server(api: tuple[RestKubernetes, type[_Api]]) -> None:
    kubernetes, server = api

    assert [node["metadata"]["name"] for node in kubernetes.nodes("paceline.dev/team=vision")] == ["gpu-1"]
    assert [pod["metadata"]["name"] for pod in kubernetes.pods("gpu-1")] == ["p"]
    assert [path for _, path in server.calls] == [
        "/api/v1/nodes?labelSelector=paceline.dev%2Fteam%3Dvision",
        "/api/v1/pods?fieldSelector=spec.nodeName%3Dgpu-1",
    ]


def test_a_condition_is_patched_into_the_status(api: tuple[RestKubernetes, type[_Api]]) -> None:
    kubernetes, server = api

    kubernetes.set_condition("gpu-1", {"type": "PacelineHealthy", "status": "False"})

    assert server.node["status"]["conditions"] == [{"type": "PacelineHealthy", "status": "False"}]


def test_what_is_gone_is_deleted_and_what_is_refused_is_told(api: tuple[RestKubernetes, type[_Api]]) -> None:
    kubernetes, _ = api

    kubernetes.delete_node("gpu-7")
    kubernetes.delete_pod("n", "p", 0)
    with pytest.raises(ClusterError, match="disruption budget"):
        kubernetes.evict("n", "p")


def test_a_server_that_does_not_answer_is_told() -> None:
    with pytest.raises(ClusterError, match="http://127.0.0.1:1: "):
        RestKubernetes("http://127.0.0.1:1").nodes()


def test_outside_a_cluster_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(ClusterError, match="not in a Kubernetes cluster"):
        RestKubernetes.connect()
