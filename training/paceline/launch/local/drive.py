"""See a local run through to its end, with Ctrl-C as a person expects it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

from paceline.launch.local.run import LocalRun
from paceline.spec.errors import LaunchError
from paceline.spec.events import AnyEvent, RunFinished

OnEvent = Callable[[AnyEvent], None]
_STOPPING = "stopping after this step, with a last checkpoint; Ctrl-C again ends at once"


def drive(local: LocalRun, on_event: OnEvent, say: Callable[[str], None]) -> RunFinished:
    """Start `local`, hand every event to `on_event`, and return how the run finished.

    The first Ctrl-C, or SIGTERM, asks for an end after the current step and a last checkpoint, the second ends
    everything at once; either way KeyboardInterrupt is raised when no process is left. Raises LaunchError when the run
    failed.
    """
    interrupts = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts == 1:
            say(_STOPPING)
            local.request_stop()
        elif interrupts == 2:  # a third must not come between the end and the last process
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        finished = None
        with local:
            for event in local.events():
                on_event(event)
                finished = event if isinstance(event, RunFinished) else finished
            local.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if interrupts:
        raise KeyboardInterrupt
    assert finished is not None
    if finished.outcome == "failed":
        raise LaunchError(f"run {local.job.run}: {finished.reason}", finished.hint)
    return finished
