"""A stretch of wire that can be broken: a TCP relay on loopback between two processes that know nothing of it.

Both ends use an address that they were given; the relay is what listens there. Whatever the weather, not a byte is
altered or reordered: that is what TCP makes of a network that loses, delays or stops carrying packets.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

_CHUNK = 1 << 16
_DRAIN_SECONDS = 0.2


class Relay:
    """Passes connections on to `target`, a port of this machine, until it is closed. `last_line` is the newest whole
    line that came from the side that connects."""

    def __init__(self, target: int) -> None:
        self.last_line = b""
        self.last_heard_ns = 0
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open = threading.Event()
        self._open.set()
        self._delay = 0.0
        self._reply: bytes | None = None
        self._sockets: set[socket.socket] = set()
        self._closed = False
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True, name=f"relay-{self.port}").start()

    def hold(self) -> None:
        """Nothing passes any more, in neither direction; connections stay as they are, as with a cut cable."""
        self._open.clear()

    def release(self) -> None:
        """Fair weather again; what was held passes now."""
        self._delay, self._reply = 0.0, None
        self._open.set()

    def delay(self, seconds: float) -> None:
        """From now on every packet is `seconds` late."""
        self._delay = seconds

    def answer(self, reply: bytes) -> None:
        """From now on every request gets `reply` and the end of its connection, and `target` hears of none."""
        self._reply = reply
        self._hang_up()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # wakes who waits in accept
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._open.set()
        with self._lock:
            self._closed = True  # a connection that is being made now is known to nobody yet
        self._hang_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _hang_up(self) -> None:
        with self._lock:
            sockets = list(self._sockets)
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):  # whichever end broke it: the other one is told by its end
            self._open.wait()
            if (reply := self._reply) is not None:
                _refuse(client, reply)
                return
            with socket.create_connection(("127.0.0.1", self._target)) as server, self._known(client, server):
                back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
                back.start()
                self._pump(client, server, listening=True)
                back.join()

    @contextlib.contextmanager
    def _known(self, *sockets: socket.socket) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise ConnectionAbortedError
            self._sockets.update(sockets)
        try:
            yield
        finally:
            with self._lock:
                self._sockets.difference_update(sockets)

    def _pump(self, source: socket.socket, sink: socket.socket, *, listening: bool = False) -> None:
        line = b""
        try:
            while chunk := source.recv(_CHUNK):
                self._open.wait()
                if self._delay:
                    time.sleep(self._delay)
                    self._open.wait()
                sink.sendall(chunk)
                if listening:
                    whole, _, line = (line + chunk).rpartition(b"\n")
                    if whole:
                        self.last_line, self.last_heard_ns = whole.rpartition(b"\n")[2], time.monotonic_ns()
        except OSError:
            pass  # the end of a connection, however it came
        finally:
            for each in (source, sink):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


def _refuse(client: socket.socket, reply: bytes) -> None:
    """Read what is asked, so that the answer is not lost in a reset, and answer."""
    client.settimeout(_DRAIN_SECONDS)
    with contextlib.suppress(TimeoutError):
        while client.recv(_CHUNK):
            pass
    client.sendall(reply)
