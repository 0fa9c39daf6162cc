"""What the controller shows to Prometheus, as text on `/metrics`."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from paceline.heal.healer import Round
from paceline.spec.errors import PacelineError
from paceline.spec.metrics import (
    HEAL_HELD,
    HEAL_LEADS,
    HEAL_NODES,
    HEAL_OUT,
    HEAL_REFUSED,
    HEAL_ROUND_TIMESTAMP,
    METRICS,
    SPARES,
    SPARES_WANTED,
)


def exposition(team: str, *, leads: bool, last: Round | None, at: float) -> str:
    """The text format of Prometheus. One that does not lead knows nothing of the fleet, and shows nothing of it."""
    values: dict[str, dict[str, float]] = {HEAL_LEADS: {"": float(leads)}}
    if leads and last is not None:
        values[HEAL_NODES] = {"": last.nodes}
        values[HEAL_OUT] = {f',phase="{phase}"': count for phase, count in last.phases.items()}
        values[HEAL_HELD] = {"": last.held}
        values[HEAL_REFUSED] = {"": len(last.refused)}
        values[SPARES] = {"": last.spares}
        values[SPARES_WANTED] = {"": last.wanted}
        values[HEAL_ROUND_TIMESTAMP] = {"": at}
    lines = []
    for name, series in values.items():
        lines += [f"# HELP {name} {METRICS[name].help}", f"# TYPE {name} {METRICS[name].kind}"]
        lines += [f'{name}{{team="{team}"{labels}}} {value:g}' for labels, value in series.items()]
    return "\n".join(lines) + "\n"


class MetricsServer:
    """Answers `GET /metrics` with `text`, until the block ends. PacelineError when the port is taken."""

    def __init__(self, port: int) -> None:
        self.text = ""
        shown = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = self.path == "/metrics"
                body = shown.text.encode() if found else b""
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """A scrape is no news."""

        try:
            self._server = ThreadingHTTPServer(("", port), Handler)
        except OSError as cause:
            raise PacelineError(
                f"port {port} for metrics: {cause.strerror}", "end what uses it, or give another --metrics-port"
            ) from cause
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
