"""Child processes that never outlive their parent, and proof that none did."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent ends, however it ends; exit now if it already has.

    Linux only; elsewhere the channel's end (link.py) has to do.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


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
