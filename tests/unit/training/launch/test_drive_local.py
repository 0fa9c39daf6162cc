"""Ctrl-C while a run is driven, and how a run's end is told. The run is a diary."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Literal, Self

import pytest

from paceline.launch.local.drive import drive
from paceline.spec.errors import LaunchError
from paceline.spec.events import AnyEvent, MembershipChanged, RunFinished

HEADER = {"time": datetime(2026, 11, 21, tzinfo=UTC), "monotonic_ns": 0, "run": "test", "producer": "test"}


class Diary:
    """A local run with an event per second; SIGINT comes before the events in `interrupted_before`."""

    job = SimpleNamespace(run="test")

    def __init__(
        self, outcome: Literal["completed", "stopped", "failed"], interrupted_before: tuple[int, ...] = ()
    ) -> None:
        self.entries: list[str] = []
        self._outcome = outcome
        self._interrupted_before = interrupted_before

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *what: object) -> None:
        self.entries.append("killed")
        if 9 in self._interrupted_before:
            os.kill(os.getpid(), signal.SIGINT)
        self.entries.append("gone")

    def events(self) -> Iterator[AnyEvent]:
        for number in range(3):
            for _ in range(self._interrupted_before.count(number)):
                os.kill(os.getpid(), signal.SIGINT)
            yield MembershipChanged(**HEADER, state="joined", reason=str(number))
        yield RunFinished(**HEADER, outcome=self._outcome, step=7, reason="why", hint="cure")

    def request_stop(self) -> None:
        self.entries.append("asked to stop")

    def wait(self) -> None:
        self.entries.append("waited")


def run(diary: Diary) -> tuple[RunFinished, list[str], list[str]]:
    told: list[str] = []
    said: list[str] = []
    finished = drive(diary, lambda event: told.append(event.kind), said.append)  # type: ignore[arg-type]
    return finished, told, said


def test_every_event_is_told_and_the_end_returned() -> None:
    before = signal.getsignal(signal.SIGINT)
    diary = Diary("completed")
    finished, told, said = run(diary)
    assert (finished.step, told, said) == (7, ["membership.changed"] * 3 + ["run.finished"], [])
    assert diary.entries == ["waited", "killed", "gone"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_failed_run_is_an_error_with_its_reason_and_cure() -> None:
    with pytest.raises(LaunchError, match="run test: why") as caught:
        run(Diary("failed"))
    assert caught.value.problems[0].hint == "cure"


def test_the_first_interrupt_asks_and_the_run_is_seen_to_its_end() -> None:
    diary = Diary("stopped", interrupted_before=(1,))
    with pytest.raises(KeyboardInterrupt):
        run(diary)
    assert diary.entries == ["asked to stop", "waited", "killed", "gone"]


def test_the_second_interrupt_ends_everything_at_once() -> None:
    diary = Diary("stopped", interrupted_before=(1, 2))
    with pytest.raises(KeyboardInterrupt):
        run(diary)
    assert diary.entries == ["asked to stop", "killed", "gone"]


def test_a_third_interrupt_does_not_come_between_the_end_and_the_last_process() -> None:
    before = signal.getsignal(signal.SIGINT)
    diary = Diary("stopped", interrupted_before=(1, 2, 9))
    with pytest.raises(KeyboardInterrupt):
        run(diary)
    assert diary.entries == ["asked to stop", "killed", "gone"]
    assert signal.getsignal(signal.SIGINT) is before
