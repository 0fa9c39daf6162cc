"""What a real coordinator does with connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path

from paceline.spec.events import RunFinished
from paceline.spec.job import JobSpec
from paceline.supervise.coordinator import Coordinator
from paceline.supervise.protocol import Report


def test_strangers_are_ignored_and_a_connection_that_stays_open_does_not_hold_up_the_end(
    make_job: Callable[..., JobSpec], unused_port: int
) -> None:
    job = make_job(coordinator_port=unused_port)

    async def scene() -> int:
        coordinator = Coordinator(job, "token")
        running = asyncio.create_task(coordinator.run())
        idle = None
        while idle is None:
            await asyncio.sleep(0)
            with contextlib.suppress(ConnectionRefusedError):
                _, idle = await asyncio.open_connection("127.0.0.1", unused_port)
        for line in (b"garbage\n", _report(token="gu\u00e9ss"), b"x" * (1 << 20) + b"\n"):
            reader, stranger = await asyncio.open_connection("127.0.0.1", unused_port)
            stranger.write(line)
            assert await reader.read() == b""
            stranger.close()
        assert list(coordinator._roster) == []
        reader, node = await asyncio.open_connection("127.0.0.1", unused_port)
        node.write(_report(token="token"))
        while list(coordinator._roster) != ["a"]:
            await asyncio.sleep(0.01)
        coordinator.request_stop()
        coordinator.request_stop()
        code = await asyncio.wait_for(running, 5.0)
        heard, directive = json.loads(await reader.readline()), json.loads(await reader.readline())
        assert (heard["kind"], directive["stop"]) == ("heard", "leave")
        idle.close()
        return code

    assert asyncio.run(scene()) == 0


def test_a_port_in_use_is_told_with_a_cure(make_job: Callable[..., JobSpec], taken_port: int) -> None:
    job = make_job(coordinator_port=taken_port)

    async def scene() -> int:
        return await Coordinator(job, "token").run()

    assert asyncio.run(scene()) == 1
    [line] = (Path(job.journal) / "coordinator.jsonl").read_text().splitlines()
    finished = RunFinished.model_validate_json(line)
    assert "cannot listen" in (finished.reason or "") and finished.hint


def _report(token: str) -> bytes:
    status = {"node": "a", "host": "h", "process_group": 1, "peer_port": 1, "store_port": None, "ready": False}
    return Report.model_validate({"token": token, "status": status}).model_dump_json().encode() + b"\n"
