"""Metrics for Prometheus: the text format, and a server that gives it out on `/metrics`.

Format: prometheus.io/docs/instrumenting/exposition_formats. Names, kinds and help are those of spec/metrics.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

from paceline.spec.errors import PacelineError
from paceline.spec.metrics import METRICS

Labels = Mapping[str, str]
Sample = tuple[Labels, float]

_REQUEST_SECONDS = 5.0
_HEADERS = "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\nConnection: close"


def exposition(families: Mapping[str, Iterable[Sample]], **common: str) -> str:
    """The families, by name, in the text format; every sample has the labels `common` before its own."""
    lines = []
    for name, samples in families.items():
        lines += [f"# HELP {name} {METRICS[name].help}", f"# TYPE {name} {METRICS[name].kind}"]
        for labels, value in samples:
            said = ",".join(f'{key}="{_escaped(text)}"' for key, text in {**common, **labels}.items())
            lines.append(f"{name}{{{said}}} {value:.15g}")
    return "\n".join(lines) + "\n"


async def serve(render: Callable[[], str], host: str, port: int) -> asyncio.Server:
    """Give out what `render` says at the time, on every address of this host if `host` is empty. OSError when the port
    is taken."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _REQUEST_SECONDS)
            found = head.startswith(b"GET /metrics ")
            body = (render() if found else "see /metrics\n").encode()
            status = "200 OK" if found else "404 Not Found"
            writer.write(f"HTTP/1.1 {status}\r\n{_HEADERS}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    if host:
        return await asyncio.start_server(answer, host, port)
    return await asyncio.start_server(answer, sock=_everywhere(port))


class MetricsServer:
    """`serve` for a program without an event loop: gives out `text`, until the block ends. PacelineError when the port
    is taken; `port` 0 takes a free one."""

    def __init__(self, port: int) -> None:
        self.text = ""
        self._loop = asyncio.new_event_loop()
        try:
            self._server = self._loop.run_until_complete(serve(lambda: self.text, "", port))
        except OSError as cause:
            self._loop.close()
            raise PacelineError(
                f"port {port} for metrics: {cause.strerror}", "end what uses it, or give another --metrics-port"
            ) from cause
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._server.close()
        self._loop.run_until_complete(self._server.wait_closed())
        self._loop.close()


def _everywhere(port: int) -> socket.socket:
    """One socket for IPv4 and IPv6: asyncio opens one for each, and of port 0 each would get another free port."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
