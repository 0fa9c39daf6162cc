"""Tell the supervisor on the same node, so that its job moves to a spare before communicators time out."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from paceline.health.standing import Standing
from paceline.spec.health import Verdict
from paceline.spec.names import HEALTH_SOCKET

_SECONDS = 5.0


class SupervisorPublisher:
    """A verdict over the socket in the directory of each node that runs on this machine. Without a job there is no
    socket, and nobody to tell."""

    name = "supervisor"

    def __init__(self, directories: Path) -> None:
        self._directories = directories

    async def publish(self, standing: Standing) -> None:
        """See Publisher."""
        line = Verdict(unfit=standing.unfit()).model_dump_json().encode() + b"\n"
        for socket in sorted(self._directories.glob(f"**/{HEALTH_SOCKET}")):
            # the supervisor of a run that is over has left its socket behind
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                await asyncio.wait_for(_send(socket, line), _SECONDS)


async def _send(socket: Path, line: bytes) -> None:
    _, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(line)
        await writer.drain()
    finally:
        writer.close()
        await writer.wait_closed()
