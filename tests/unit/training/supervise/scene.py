"""The coordinator of one node supervisor: it hears what the node reports, and tells what a test wants it to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from paceline.supervise.node import NodeSupervisor
from paceline.supervise.protocol import Assignment, Directive, Heard, Member, NodeStatus, Report, Restore

TOKEN = "token"
Play = Callable[["Scene"], Coroutine[Any, Any, None]]


class Scene:
    """The supervisor `node`, and the coordinator it reports to."""

    def __init__(self) -> None:
        self.status: NodeStatus | None = None
        self.node: NodeSupervisor
        self._writer: asyncio.StreamWriter | None = None
        self._heard = asyncio.Event()
        self.deaf = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        async for line in reader:
            if self.deaf:
                continue
            report = Report.model_validate_json(line)
            self.status = report.status
            writer.write(Heard(sent=report.sent).model_dump_json().encode() + b"\n")
            self._heard.set()

    async def until(self, condition: Callable[[NodeStatus], bool]) -> NodeStatus:
        async with asyncio.timeout(20):
            while self.status is None or not condition(self.status):
                self._heard.clear()
                await self._heard.wait()
        return self.status

    async def ready(self) -> NodeStatus:
        return await self.until(lambda s: s.ready)

    def tell(self, **content: Any) -> None:
        assert self._writer is not None
        self._writer.write(Directive(**content).model_dump_json().encode() + b"\n")

    def generation(self, number: int, restore: Restore | None = None, *, member: bool = True) -> Assignment:
        assert self.status is not None
        me = Member(
            node="node-0",
            first_rank=0,
            host="127.0.0.1",
            peer_port=self.status.peer_port if member else 1,
            store_port=1,
        )
        return Assignment(
            generation=number,
            members=(me,),
            workers_per_node=1,
            restore=restore or Restore(source="nothing"),
            cause="x",
        )
