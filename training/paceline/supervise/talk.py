"""A node's line to the coordinator: reports go up, directives come down, and a line that breaks is laid again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from paceline.spec.job import JobSpec
from paceline.supervise.lease import Lease
from paceline.supervise.protocol import COORDINATOR_MESSAGE, Directive, Heard, NodeStatus, Report

_RECONNECT_SECONDS = 0.05


class Line:
    """`status` is asked for what to report; `heard` gets every directive; reports that arrive renew `lease`."""

    def __init__(
        self,
        job: JobSpec,
        token: str,
        status: Callable[[], NodeStatus],
        heard: Callable[[Directive], None],
        lease: Lease,
    ) -> None:
        self._job = job
        self._token = token
        self._status = status
        self._heard = heard
        self._lease = lease
        self._dirty = asyncio.Event()

    def report_soon(self) -> None:
        """Something changed: do not wait for the next heartbeat."""
        self._dirty.set()

    async def keep(self) -> None:
        """Report and listen for ever."""
        while True:
            began = asyncio.get_running_loop().time()
            with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
                await self._talk()
            # a connection that lasted is renewed at once, before anybody thinks that this node is lost
            if asyncio.get_running_loop().time() - began < _RECONNECT_SECONDS:
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _talk(self) -> None:
        """One connection to the coordinator, for as long as it lasts."""
        reader, writer = await asyncio.open_connection(
            self._job.coordinator_host, self._job.coordinator_port, limit=2**24
        )
        listening = asyncio.create_task(self._listen(reader))
        try:
            while not listening.done():
                self._dirty.clear()
                report = Report(token=self._token, sent=self._lease.now(), status=self._status())
                writer.write(report.model_dump_json().encode() + b"\n")
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._dirty.wait(), self._job.timeouts.heartbeat_interval)
        finally:
            writer.close()
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        async for line in reader:
            message = COORDINATOR_MESSAGE.validate_json(line)
            if isinstance(message, Heard):
                was_over = self._lease.left <= 0
                self._lease.renew(message.sent)
                if was_over and self._lease.left > 0:
                    self.report_soon()
            else:
                self._heard(message)
        self._dirty.set()
