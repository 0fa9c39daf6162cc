"""What a spare works at for others, and that nothing of it is left when the spare is reclaimed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from paceline.journal.reader import Follower
from paceline.journal.writer import Journal
from paceline.spec.events import AnyEvent, SpareLent, SpareReturned
from paceline.spec.health import Finding, Result
from paceline.spec.job import JobSpec, Timeouts
from paceline.spec.names import ENV_RUN_TOKEN
from paceline.supervise import lending
from paceline.supervise.lending import LOG_NAME, Loan, is_spare
from paceline.supervise.process import process_state
from paceline.supervise.protocol import Assignment, Failure, Member, NodeStatus, Restore

# A shell that is stopped, and ignores SIGTERM; a child in a session of its own, and a daemon that its parent has left.
OBSTINATE = """
trap '' TERM
echo $$
setsid sh -c 'echo $$; while :; do sleep 0.1; done' &
(setsid sh -c 'echo $$; while :; do sleep 0.1; done' &)
while [ "$(wc -l < lent.log)" -lt 3 ]; do sleep 0.01; done
kill -STOP $$
"""
UNFIT = Finding(node="me", check="gpu-xid", result=Result.FAIL, time=datetime(2026, 1, 1, tzinfo=UTC), fault="x")


def assignment(node: str) -> Assignment:
    member = Member(node=node, first_rank=0, host="h", peer_port=1, store_port=1)
    return Assignment(
        generation=0, members=(member,), workers_per_node=1, restore=Restore(source="nothing"), cause="start"
    )


SPARE = NodeStatus(
    node="me", host="h", process_group=1, peer_port=1, store_port=1, ready=True, following=assignment("other")
)


class Scene:
    """A loan, and what its node says of itself."""

    def __init__(self, loan: Loan, directory: Path) -> None:
        self.loan, self.directory = loan, directory
        self.status = SPARE
        self._journal = Follower(directory)
        self._events: list[AnyEvent] = []

    @property
    def log(self) -> list[str]:
        path = self.directory / LOG_NAME
        return path.read_text().splitlines() if path.is_file() else []

    @property
    def events(self) -> list[AnyEvent]:
        self._events += self._journal.poll()
        return self._events

    def returned(self) -> list[SpareReturned]:
        return [event for event in self.events if isinstance(event, SpareReturned)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.01)


@pytest.fixture
def play(make_job: Callable[..., JobSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.chdir(tmp_path)

    def perform(act: Callable[[Scene], Coroutine[Any, Any, None]], *command: str) -> None:
        job = make_job(lend=command, timeouts=Timeouts(heartbeat_interval=0.01))

        async def whole() -> None:
            loan = Loan(job, "me", tmp_path, Journal(tmp_path, run="test", producer="me", node="me"))
            scene = Scene(loan, tmp_path)
            keeping = asyncio.create_task(loan.keep(lambda: scene.status))
            try:
                await act(scene)
            finally:
                keeping.cancel()
                await loan.reclaim()

        asyncio.run(whole())

    return perform


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"ready": False}, True),
        ({"following": None}, False),
        ({"following": assignment("me")}, False),
        ({"leaving": True}, False),
        ({"unfit": UNFIT}, False),
        ({"failure": Failure(message="no disk")}, False),
    ],
)
def test_who_is_a_spare(changes: dict[str, Any], expected: bool) -> None:
    assert is_spare(SPARE.model_copy(update=changes)) is expected


def test_a_borrower_knows_its_node_and_not_the_token_and_works_once_at_the_lowest_priority(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_RUN_TOKEN, "secret")

    async def act(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.returned()))
        lent, returned = scene.events
        assert isinstance(lent, SpareLent) and isinstance(returned, SpareReturned)
        assert (returned.outcome, returned.reason, returned.reclaim_seconds) == ("finished", None, None)
        assert scene.log == ["me none 19"]
        await asyncio.sleep(0.05)
        assert len(scene.events) == 2

    play(act, "sh", "-c", f"echo $PACELINE_NODE ${{{ENV_RUN_TOKEN}-none}} $(nice)")


def test_nothing_is_lent_before_the_standbys_are_ready(play: Callable[..., None]) -> None:
    async def act(scene: Scene) -> None:
        scene.status = SPARE.model_copy(update={"ready": False})
        await asyncio.sleep(0.05)
        assert scene.events == []
        scene.status = SPARE
        await scene.until(lambda: bool(scene.returned()))

    play(act, "true")


@pytest.mark.parametrize(
    ("command", "reason"),
    [(("sh", "-c", "exit 3"), "code 3"), (("no-such-command",), "code 127"), (("false",), "code 1")],
)
def test_a_borrower_that_fails_is_begun_again_after_a_pause_that_grows(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], reason: str
) -> None:
    monkeypatch.setattr(lending, "_FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(lending, "_LONGEST_PAUSE_SECONDS", 0.05)

    async def act(scene: Scene) -> None:
        await scene.until(lambda: len(scene.returned()) >= 3)
        assert {event.outcome for event in scene.returned()} == {"failed"}
        assert all(reason in (event.reason or "") for event in scene.returned())
        ends = [event.monotonic_ns for event in scene.returned()]
        begins = [event.monotonic_ns for event in scene.events if isinstance(event, SpareLent)]
        pauses = [begin - end for end, begin in zip(ends, begins[1:], strict=False)]
        assert pauses[0] >= 0.02e9 and pauses[1] >= 0.04e9
        assert scene.loan._pause == 0.05

    play(act, *command)


def test_stopped_deaf_and_daemonised_processes_are_gone_when_the_node_is_reclaimed(play: Callable[..., None]) -> None:
    async def act(scene: Scene) -> None:
        await scene.until(lambda: len(scene.log) == 3)
        processes = [int(line) for line in scene.log]
        await scene.until(lambda: process_state(processes[0]) == "T")
        assert await scene.loan.reclaim() is None
        assert [process_state(pid) for pid in processes] == [None, None, None]
        [returned] = scene.returned()
        assert returned.outcome == "reclaimed" and returned.reclaim_seconds is not None

    play(act, "sh", "-c", OBSTINATE)


@pytest.mark.parametrize("change", [{"leaving": True}, {"unfit": UNFIT}, {"following": assignment("me")}])
def test_a_node_that_is_no_spare_any_more_gives_its_borrower_time_to_save(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    monkeypatch.setattr(lending, "GRACE_SECONDS", 20.0)

    async def act(scene: Scene) -> None:
        await scene.until(lambda: scene.log == ["up"])
        scene.status = SPARE.model_copy(update=change)
        await scene.until(lambda: bool(scene.returned()))
        assert "saved" in scene.log  # beside what the shell says of a child that was told to end, too
        assert scene.returned()[0].outcome == "reclaimed"

    play(act, "sh", "-c", "trap 'echo saved; exit 0' TERM; echo up; while :; do sleep 0.01; done")


def test_a_node_that_is_reclaimed_while_its_borrower_starts_runs_nothing_of_it(play: Callable[..., None]) -> None:
    async def act(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.events))
        scene.status = SPARE.model_copy(update={"leaving": True})
        assert await scene.loan.reclaim() is None
        assert [type(event) for event in scene.events] == [SpareLent, SpareReturned]

    play(act, "sleep", "1000")


def test_processes_that_do_not_die_are_told(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a driver that hangs; here the signal that would end them is taken for another one."""

    async def act(scene: Scene) -> None:
        await scene.until(lambda: scene.log == ["up"])
        monkeypatch.setattr(lending, "_PATIENCE_SECONDS", 0.01)
        with monkeypatch.context() as context:
            context.setattr(Loan, "_tell", lambda loan, number: None)
            failure = await scene.loan.reclaim()
        assert failure is not None and failure.message.startswith("me: what it was lent for does not end")
        monkeypatch.setattr(lending, "_PATIENCE_SECONDS", 20.0)
        assert await scene.loan.reclaim() is None

    play(act, "sh", "-c", "echo up; while :; do sleep 0.1; done")


def test_a_borrower_does_not_outlive_its_supervisor(tmp_path: Path) -> None:
    reaper = [sys.executable, "-m", "paceline.supervise.reaper"]
    borrower = "setsid sh -c 'echo $$ > pid.new; mv pid.new pid; while :; do sleep 0.1; done' & wait"
    code = f"import os, subprocess; subprocess.run([*{reaper}, str(os.getpid()), 'sh', '-c', {borrower!r}])"
    supervisor = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)

    async def play() -> None:
        async with asyncio.timeout(30):
            while not (tmp_path / "pid").is_file():
                await asyncio.sleep(0.01)
            pid = int((tmp_path / "pid").read_text())
            os.kill(supervisor.pid, signal.SIGKILL)
            supervisor.wait()
            while process_state(pid) is not None:
                await asyncio.sleep(0.01)

    asyncio.run(play())
