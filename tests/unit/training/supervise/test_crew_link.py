"""A crew and its workers' links, over the real channel between real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from paceline.supervise import crew
from paceline.supervise.crew import Crew
from paceline.supervise.flight_record import GroupRecord
from paceline.supervise.fork_server import ForkServer
from paceline.supervise.memory import NodeMemory
from paceline.supervise.process import guarded
from paceline.supervise.protocol import Address, Promote, SnapshotReady, SnapshotSafe, StopRequested

HERE = Path(__file__).parent  # of fake_worker.py


class Scene:
    """A crew of fake workers and what its supervisor sees."""

    def __init__(self, directory: Path, workers: int) -> None:
        self.memory = NodeMemory("node-0", workers)
        self.snapshots: list[tuple[int, SnapshotReady]] = []
        self.news = asyncio.Event()
        self.directory = directory
        self.crew = Crew(
            changed=self.news.set,
            on_snapshot=lambda rank, message: self.snapshots.append((rank, message)),
            log=directory / "workers.log",
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.news.clear()
                await self.news.wait()

    def promote(self, step: int = 5) -> None:
        self.crew.promote(
            [
                Promote(
                    generation=2,
                    rank=rank,
                    local_rank=rank,
                    world_size=len(self.crew.workers),
                    store=Address(host="127.0.0.1", port=1),
                    restore_step=step,
                    verified=step - 1,
                    restore_from="memory",
                    restore_segment=0,
                )
                for rank in range(len(self.crew.workers))
            ]
        )

    def pids(self) -> list[int]:
        return [worker.process.pid for worker in self.crew.workers]


@asynccontextmanager
async def crew_of(directory: Path, behaviour: str, workers: int = 1) -> AsyncIterator[Scene]:
    scene, job_file = Scene(directory, workers), directory / "job.json"
    server = ForkServer("fake_worker", job_file, directory / "workers.log")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("BEHAVIOUR", behaviour)
        environment.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
        await scene.crew.spawn(
            server,
            segments=scene.memory.own,
            job_file=job_file,
            node="node-0",
            host="127.0.0.1",
            data=directory / "data",
        )
    try:
        yield scene
    finally:
        scene.crew.kill()
        await scene.crew.bury()
        await server.close()


def test_standbys_become_ready_are_promoted_and_stop(tmp_path: Path) -> None:
    async def play() -> None:
        async with crew_of(tmp_path, "trains", workers=2) as scene:
            assert not scene.crew.ready and scene.crew.store_port
            await scene.until(lambda: scene.crew.ready)
            scene.promote(step=5)
            assert (scene.crew.step, scene.crew.verified, scene.crew.state) == (5, 4, "running")
            scene.crew.send_all(StopRequested())
            await scene.until(lambda: scene.crew.state == "stopped")

    asyncio.run(play())


def test_a_snapshot_is_announced_and_the_worker_waits_until_it_is_safe(tmp_path: Path) -> None:
    async def play() -> None:
        async with crew_of(tmp_path, "snapshots") as scene:
            await scene.until(lambda: scene.crew.ready)
            scene.promote(step=5)
            await scene.until(lambda: bool(scene.snapshots))
            [(local_rank, message)] = scene.snapshots
            assert (local_rank, message.segment, message.step) == (0, 0, 6)
            assert [(s.rank, s.step, s.generation) for s in scene.memory.held()] == [(0, 6, 2)]
            scene.crew.send(0, SnapshotSafe(step=5))
            await asyncio.sleep(0)
            assert scene.crew.step == 5
            scene.crew.send(0, SnapshotSafe(step=6))
            await scene.until(lambda: scene.crew.step == 6)

    asyncio.run(play())


def test_a_failure_arrives_with_its_words(tmp_path: Path) -> None:
    async def play() -> None:
        async with crew_of(tmp_path, "fails") as scene:
            await scene.until(lambda: scene.crew.ready)
            scene.promote()
            await scene.until(lambda: scene.crew.state == "failed")
            assert scene.crew.error is not None and scene.crew.error.message == "ValueError: boom"
            assert not scene.crew.failed_early

    asyncio.run(play())


def test_a_killed_worker_is_named_with_its_signal(tmp_path: Path) -> None:
    async def play() -> None:
        async with crew_of(tmp_path, "trains") as scene:
            await scene.until(lambda: scene.crew.ready)
            os.kill(scene.pids()[0], signal.SIGKILL)
            await scene.until(lambda: scene.crew.state == "failed")
            assert scene.crew.error is not None and scene.crew.error.message == "worker 0 killed by signal 9"
            assert not scene.crew.failed_early and not scene.crew.ready

    asyncio.run(play())


def test_a_worker_that_cannot_start_failed_early(tmp_path: Path) -> None:
    async def play() -> None:
        async with crew_of(tmp_path, "broken") as scene:
            await scene.until(lambda: scene.crew.state == "failed")
            assert scene.crew.failed_early
            assert scene.crew.error is not None and "ended with code 7" in scene.crew.error.message
            assert "workers.log" in (scene.crew.error.hint or "")

    asyncio.run(play())


def test_what_fails_after_the_work_is_done_changes_nothing(tmp_path: Path) -> None:
    async def play() -> None:
        async with crew_of(tmp_path, "finishes") as scene:
            await scene.until(lambda: scene.crew.ready)
            scene.promote()
            await scene.crew.workers[0].process.wait()
            await scene.until(lambda: scene.crew.state != "running")
            assert scene.crew.state == "completed"

    asyncio.run(play())


def test_a_worker_ends_when_its_supervisor_is_gone(tmp_path: Path) -> None:
    """Its channel closes; the kernel's signal at a parent's death is only the faster way."""

    async def play() -> None:
        async with crew_of(tmp_path, "trains") as scene:
            await scene.until(lambda: scene.crew.ready)
            worker = scene.crew.workers[0]
            worker.writer.transport.abort()
            async with asyncio.timeout(20):
                assert await worker.process.wait() == 0

    asyncio.run(play())


def test_a_worker_that_hangs_tells_its_flight_record_and_a_stopped_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "_RECORD_SECONDS", 20.0)

    async def play() -> None:
        async with crew_of(tmp_path, "waits") as scene:
            await scene.until(lambda: scene.crew.ready)
            scene.promote(step=5)
            await scene.until(lambda: scene.crew.verified == 5)
            for _ in range(2):
                [answer] = await scene.crew.inspect("node-0")
                assert answer.groups == (GroupRecord(group="0", description="default_pg", entered=5),)
            os.kill(scene.pids()[0], signal.SIGSTOP)
            monkeypatch.setattr(crew, "_RECORD_SECONDS", 0.05)
            [silent] = await scene.crew.inspect("node-0")
            assert silent.groups is None

    asyncio.run(play())


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_is_left_of_a_killed_crew(tmp_path: Path) -> None:
    async def play() -> None:
        async with crew_of(tmp_path, "trains", workers=2):
            pass
        before = open_files()
        async with crew_of(tmp_path, "waits", workers=2) as scene:
            await scene.until(lambda: scene.crew.ready)
            scene.promote()
            pids, segments = scene.pids(), 4
        await asyncio.sleep(0)
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
        assert open_files() <= before + segments

    asyncio.run(play())


def test_a_task_that_fails_ends_the_process_instead_of_half_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)

    async def work() -> None:
        raise RuntimeError("a bug")

    async def play() -> None:
        task = guarded(work())
        await asyncio.wait([task])
        await asyncio.sleep(0)
        cancelled = guarded(asyncio.sleep(60))
        cancelled.cancel()
        await asyncio.wait([cancelled])
        await asyncio.sleep(0)

    asyncio.run(play())
    assert codes == [1]
