"""Nodes hand each other snapshots: a small TCP server over the node's memory, and its two clients.

One request per connection: a JSON line, then raw bytes. `hold` asks a buddy to keep a copy; `fetch` brings one back.
Every snapshot is hashed on arrival and refused when it differs from what the sender announced. The run's token guards
every request.
"""

from __future__ import annotations

import hmac
import json
import socket
import socketserver
import threading
from typing import Any

from paceline.checkpoint.segment import Segment, SegmentHeader
from paceline.spec.manifest import TrainerState
from paceline.supervise.memory import NodeMemory
from paceline.supervise.protocol import Address

_TIMEOUT_SECONDS = 30.0
_LINE_LIMIT = 64 * 1024


class PeerError(Exception):
    """A snapshot could not be handed over."""


class PeerServer(socketserver.ThreadingTCPServer):
    """Serves `memory` to the other nodes of the run until `close`."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, memory: NodeMemory, token: str) -> None:
        super().__init__((host, 0), _Handler)
        self.memory = memory
        self.token = token
        self.port: int = self.server_address[1]
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.5}, daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(socketserver.BaseRequestHandler):
    request: socket.socket
    server: PeerServer

    def handle(self) -> None:
        self.request.settimeout(_TIMEOUT_SECONDS)
        try:
            request = _read_line(self.request)
            if not hmac.compare_digest(str(request.get("token")), self.server.token):
                return
            if request["do"] == "hold":
                self._hold(request)
            elif request["do"] == "fetch":
                self._fetch(request)
        except (OSError, ValueError, KeyError, PeerError) as error:
            # the other side sees the connection end, or this line, and does not count the snapshot as held
            _try_line(self.request, {"error": str(error)})

    def _hold(self, request: dict[str, Any]) -> None:
        rank, step = request["rank"], request["step"]
        if not self._has(request):
            _send_line(self.request, {"wanted": step})
            with self.server.memory.receiving(rank) as segment:
                _receive(self.request, segment, request)
        # a snapshot after step n exists only if every rank's of n - 1 exists twice: nobody goes back behind that
        self.server.memory.free_up_to(step - 2)
        _send_line(self.request, {"held": step})

    def _has(self, request: dict[str, Any]) -> bool:
        """Whether it is here already, as at the node that a spare has just fetched it from."""
        segment = self.server.memory.find_copy(request["rank"], request["step"], request["digest"])
        header = segment.header() if segment is not None else None
        if segment is None or header is None or header.generation != request["generation"]:
            return False
        if not segment.is_whole():
            segment.invalidate()
            return False
        return True

    def _fetch(self, request: dict[str, Any]) -> None:
        segment = self.server.memory.find(request["rank"], request["step"], request["digest"])
        if segment is None:
            raise PeerError(f"no snapshot of rank {request['rank']} after step {request['step']}")
        header = _header_of(segment)
        _send_line(self.request, _announcement(segment, header))
        self.request.sendall(segment.body(header.body_bytes))


def hold(address: Address, segment: Segment, token: str) -> None:
    """Have the node at `address` keep a copy of `segment`; returns when it has verified it, which it may have
    already. Raises PeerError."""
    try:
        with socket.create_connection((address.host, address.port), timeout=_TIMEOUT_SECONDS) as connection:
            connection.settimeout(_TIMEOUT_SECONDS)
            header = _header_of(segment)
            _send_line(connection, {"do": "hold", "token": token, **_announcement(segment, header)})
            answer = _read_line(connection)
            if "wanted" in answer:
                connection.sendall(segment.body(header.body_bytes))
                answer = _read_line(connection)
    except (OSError, ValueError) as cause:
        raise PeerError(f"{address.host}:{address.port}: {cause}") from cause
    if "held" not in answer:
        raise PeerError(f"{address.host}:{address.port}: {answer.get('error', 'refused')}")


def fetch(address: Address, rank: int, step: int, digest: str, into: Segment, token: str) -> None:
    """Bring the snapshot of `rank` after `step` into segment `into`, verified against `digest`. Raises PeerError."""
    try:
        with socket.create_connection((address.host, address.port), timeout=_TIMEOUT_SECONDS) as connection:
            connection.settimeout(_TIMEOUT_SECONDS)
            _send_line(connection, {"do": "fetch", "token": token, "rank": rank, "step": step, "digest": digest})
            answer = _read_line(connection)
            if "error" in answer:
                raise PeerError(f"{address.host}:{address.port}: {answer['error']}")
            if answer["digest"] != digest:  # it was overwritten between the request and the answer
                raise PeerError(f"{address.host}:{address.port}: holds another snapshot than it reported")
            _receive(connection, into, answer)
    except (OSError, ValueError, KeyError) as cause:
        raise PeerError(f"{address.host}:{address.port}: {cause}") from cause


def _header_of(segment: Segment) -> SegmentHeader:
    header = segment.header()
    if header is None:
        raise PeerError("nothing to send")
    return header


def _announcement(segment: Segment, header: SegmentHeader) -> dict[str, Any]:
    return {
        "rank": header.rank,
        "world_size": header.world_size,
        "step": header.step,
        "generation": header.generation,
        "bytes": header.body_bytes,
        "digest": header.digest,
        "trainer": segment.trainer(header).model_dump(),
    }


def _receive(connection: socket.socket, segment: Segment, line: dict[str, Any]) -> None:
    trainer = TrainerState.model_validate(line["trainer"])
    body = segment.receive(
        generation=line["generation"],
        rank=line["rank"],
        world_size=line["world_size"],
        trainer=trainer,
        body_bytes=line["bytes"],
    )
    position = 0
    while position < len(body):
        count = connection.recv_into(body[position:])
        if count == 0:
            raise PeerError("the connection ended in the middle of a snapshot")
        position += count
    if segment.finish().digest != line["digest"]:
        segment.invalidate()
        raise PeerError(f"the snapshot of rank {line['rank']} after step {line['step']} arrived altered")


def _send_line(connection: socket.socket, content: dict[str, Any]) -> None:
    connection.sendall(json.dumps(content).encode() + b"\n")


def _try_line(connection: socket.socket, content: dict[str, Any]) -> None:
    try:
        _send_line(connection, content)
    except OSError:
        pass  # the peer is gone: there is nobody to tell


def _read_line(connection: socket.socket) -> dict[str, Any]:
    """One JSON line, byte by byte up to its end: what follows belongs to the body."""
    line = bytearray()
    while not line.endswith(b"\n"):
        # peek, so that not a byte of the body is taken
        ahead = connection.recv(_LINE_LIMIT, socket.MSG_PEEK)
        if not ahead:
            raise PeerError("the connection ended before the request did")
        end = ahead.find(b"\n")
        line += connection.recv(end + 1 if end >= 0 else len(ahead))
        if len(line) > _LINE_LIMIT:
            raise PeerError("the request line is too long")
    content = json.loads(line)
    if not isinstance(content, dict):
        raise PeerError("not a request")
    return content
