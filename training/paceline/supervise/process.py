"""Child processes that never outlive their parent, proof that none did, and tasks that never die unseen."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_TASKS: set[asyncio.Task[None]] = set()


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent ends, however it ends; exit now if it already has.

    Linux only; elsewhere the channel's end (link.py) has to do.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def guarded(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task of a supervisor that is kept alive until it ends, and ends the process if it fails.

    What it did not expect is a bug. Half a supervisor would leave its peers waiting; a whole one that is gone is
    replaced.
    """
    task = asyncio.get_running_loop().create_task(work)
    _TASKS.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[None]) -> None:
    _TASKS.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        traceback.print_exception(error)
        os._exit(1)


def children(pid: int) -> list[int]:
    """The living children of process `pid`, oldest first; none if it is gone itself."""
    try:
        numbers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(number) for number in numbers if process_state(int(number)) not in ("Z", "X", None)]


def process_state(pid: int) -> str | None:
    """The kernel's letter for the process: R runs, S sleeps, D waits for a device, T is stopped; None: it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[0]


def living_members(group: int) -> list[int]:
    """The processes of process group `group` that still run; those that only wait to be reaped do not count."""
    living = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # after the command's closing parenthesis: state, parent, group
            state, _, process_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # it ended while we looked
        if int(process_group) == group and state not in ("Z", "X"):
            living.append(int(stat.parent.name))
    return living
