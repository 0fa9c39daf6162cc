"""Over real sockets of the loopback interface; nothing here waits for time to pass."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from paceline.chaos.relay import Relay

PATIENCE_SECONDS = 30.0


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_SECONDS)
        yield listening


@contextmanager
def connected(relay: Relay, server: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE_SECONDS) as near:
        far, _ = server.accept()
        with far:
            far.settimeout(PATIENCE_SECONDS)
            yield near, far


def port(server: socket.socket) -> int:
    number: int = server.getsockname()[1]
    return number


def test_what_is_said_arrives_on_both_sides(server: socket.socket) -> None:
    with Relay(port(server)) as relay, connected(relay, server) as (near, far):
        near.sendall(b"up\nhalf")
        assert far.recv(100) == b"up\nhalf"
        far.sendall(b"down")
        assert near.recv(100) == b"down"
        near.sendall(b" a line\n")
        assert far.recv(100) == b" a line\n"
        near.shutdown(socket.SHUT_WR)
        assert far.recv(100) == b""
    assert relay.last_line in (b"up", b"half a line")


def test_what_is_held_arrives_when_it_is_released(server: socket.socket) -> None:
    with Relay(port(server)) as relay, connected(relay, server) as (near, far):
        relay.hold()
        near.sendall(b"late")
        far.settimeout(0.05)
        with pytest.raises(TimeoutError):
            far.recv(100)
        relay.release()
        far.settimeout(PATIENCE_SECONDS)
        assert far.recv(100) == b"late"


def test_an_answer_of_its_own_never_reaches_the_server(server: socket.socket) -> None:
    with Relay(port(server)) as relay:
        relay.answer(b"no")
        with socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE_SECONDS) as near:
            near.sendall(b"please")
            assert near.recv(100) == b"no"
            assert near.recv(100) == b""
        server.settimeout(0.05)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_relay_that_is_closed_does_not_listen(server: socket.socket) -> None:
    relay = Relay(port(server))
    with connected(relay, server) as (near, _):
        relay.close()
        assert near.recv(100) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE_SECONDS)
