"""Asking a registry for a digest, against a server that speaks as one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from paceline.clients import registry
from paceline.spec.errors import ImageError

DIGEST = f"sha256:{'0f' * 32}"


class Registry(BaseHTTPRequestHandler):
    """Knows `team/python:3.11`, and gives it to those who have fetched a token for it."""

    def do_HEAD(self) -> None:
        host = self.headers["Host"]
        if self.headers.get("Authorization") != "Bearer secret":
            scope = 'scope="repository:team/python:pull"'
            realm = "" if "private" in self.path else f'realm="http://{host}/token",service="{host}",{scope}'
            self._answer(401, {"WWW-Authenticate": f"Bearer {realm}" if realm else "Basic"})
        elif self.path == "/v2/team/python/manifests/3.11":
            wants_lists = "application/vnd.oci.image.index.v1+json" in self.headers["Accept"]
            self._answer(200, {"Docker-Content-Digest": DIGEST} if wants_lists else {})
        else:
            self._answer(200 if "silent" in self.path else 404, {})

    def do_GET(self) -> None:
        assert self.path.startswith("/token?")
        assert "scope=repository%3Ateam%2Fpython%3Apull" in self.path
        self._answer(200, {}, b'{"token": "secret"}')

    def _answer(self, code: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_digest_is_that_of_the_tag(host: str) -> None:
    assert registry.digest(f"{host}/team/python", "3.11") == DIGEST


@pytest.mark.parametrize(
    ("name", "message"),
    [("team/unknown", "answers 404"), ("team/private", "asks for a password"), ("team/silent", "gives no digest")],
)
def test_a_refusal_says_why(host: str, name: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        registry.digest(f"{host}/{name}", "3.11")


def test_a_registry_that_cannot_be_reached_is_told_with_a_cure() -> None:
    with pytest.raises(ImageError) as refusal:
        registry.digest("127.0.0.1:1/team/python", "3.11")

    assert "127.0.0.1:1 cannot be reached" in refusal.value.render()
    assert "pin on a machine that reaches the registry" in refusal.value.render()
