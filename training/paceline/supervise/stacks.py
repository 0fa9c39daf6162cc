"""Where a worker that makes no progress is: its Python stacks and what the kernel says of it.

The stacks are written by faulthandler in the worker's own signal handler, without the interpreter's lock: also when a C
call never returns, and in a container, where no process may look into another. A process that is stopped cannot
answer; then the kernel's word for its state is the evidence.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import re
import signal
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

_SIGNAL = signal.SIGUSR2
_POLLS = 25
_POLL_SECONDS = 0.04
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.+)$')
_THREAD = re.compile(r"^(Current thread|Thread) 0x")
_COLLECTIVES = "/torch/distributed/"
_TORCH = "/torch/"


@dataclass(frozen=True, slots=True)
class Frame:
    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.function} ({Path(self.file).name}:{self.line})"


def offer(descriptor: int) -> None:
    """In the worker: from now on write all threads' stacks to `descriptor` when the supervisor asks."""
    faulthandler.register(_SIGNAL, file=descriptor, all_threads=True)


async def take(pid: int, descriptor: int) -> str:
    """In the supervisor: the stacks of worker `pid`, which offers them on `descriptor`; empty if it does not answer
    within a second."""
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)  # the worker writes where this description stands
    try:
        os.kill(pid, _SIGNAL)
    except ProcessLookupError:
        return ""
    size = 0
    for _ in range(_POLLS):
        await asyncio.sleep(_POLL_SECONDS)
        before, size = size, os.fstat(descriptor).st_size
        if size and size == before:
            break
    return os.pread(descriptor, size, 0).decode(errors="replace")


def threads(stacks: str) -> list[list[Frame]]:
    """The frames of every thread, innermost first; the thread that answered, which is the main one, comes first."""
    found: list[list[Frame]] = []
    for line in stacks.splitlines():
        if _THREAD.match(line):
            frames: list[Frame] = []
            found.insert(0 if line.startswith("Current") else len(found), frames)
        elif found and (frame := _FRAME.match(line)) is not None:
            frames.append(Frame(frame["file"], int(frame["line"]), frame["function"]))
    return found


def collective(stacks: str) -> str | None:
    """The collective that the worker waits in, by the name of its function in torch; None when it waits in none."""
    for frames in threads(stacks):
        for frame in takewhile(lambda f: _TORCH in f.file, frames):  # through its wrappers, not through anybody's code
            if _COLLECTIVES in frame.file:
                return frame.function
    return None


def innermost(stacks: str) -> Frame | None:
    """Where the main thread is."""
    frames = next(iter(threads(stacks)), [])
    return frames[0] if frames else None
