"""Where nodes reach the coordinator: one connection each, on which reports come in and are acknowledged."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable

from pydantic import ValidationError

from paceline.supervise.protocol import Heard, NodeStatus, Report
from paceline.supervise.roster import Wire

_LONGEST_REPORT_BYTES = 2**24


class Reception:
    """Lets in who has the run's token. `hear` gets every report and says whether it counts; `left` is told of every
    connection that has ended and whose it was."""

    def __init__(self, token: str, hear: Callable[[NodeStatus, Wire], bool], left: Callable[[str, Wire], None]) -> None:
        self._token = token.encode()
        self._hear = hear
        self._left = left
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> None:
        """Listen; OSError if that cannot be."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=_LONGEST_REPORT_BYTES)

    def close(self) -> None:
        """Let in nobody more; not waited for, since that would be until the last node, or stranger, hangs up."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = None
        try:
            async for line in reader:
                report = Report.model_validate_json(line)
                if not hmac.compare_digest(report.token.encode(), self._token):
                    break
                name = report.status.node
                if self._hear(report.status, writer):
                    writer.write(Heard(sent=report.sent).model_dump_json().encode() + b"\n")
        except (ConnectionError, ValidationError, ValueError):
            pass  # a broken connection or a stranger: silence is judged by the clock
        finally:
            writer.close()
            if name is not None:
                self._left(name, writer)
