"""Runs a command at the lowest priority, and ends with all that came of it, also with what left its group or session.

    python -m paceline.supervise.reaper PARENT COMMAND...      (started by lending.py)

SIGTERM is passed on to every descendant. SIGUSR1, which the kernel also sends when the parent ends, ends them all at
once. When the command itself ends, so does what it left behind. The exit code is the command's; 128 and the signal's
number if one ended it, 127 if it could not be started, as in a shell.

A control group would do the same and cannot be made everywhere. Out of reach are processes that somebody else starts at
the command's wish (a container daemon, a scheduler), and those of another user.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from paceline.supervise.process import adopt_orphans, descendants, die_with_parent

_AWAITED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1)
_NOT_STARTED = 127
_BY_SIGNAL = 128


def main() -> None:
    """Entry of the process; see the module's docstring."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    adopt_orphans()
    die_with_parent(int(sys.argv[1]), signal.SIGUSR1)
    reaper = os.getpid()
    if (pid := os.fork()) == 0:
        _become(sys.argv[2:], reaper)
    code = _wait(pid)
    _end_all()
    os._exit(code)  # at once: somebody waits for it


def _become(command: list[str], reaper: int) -> NoReturn:
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
    die_with_parent(reaper)
    os.nice(19)
    with contextlib.suppress(OSError):  # where sessions share the processor among them, a process's own weight is void
        Path("/proc/self/autogroup").write_text("19")
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.stderr.flush()
    os._exit(_NOT_STARTED)


def _wait(pid: int) -> int:
    """The exit code of child `pid`, or of one that is killed, if all are to end."""
    while True:
        match signal.sigwait(_AWAITED):
            case signal.SIGTERM:
                _send_all(signal.SIGTERM)
            case signal.SIGUSR1:
                return _BY_SIGNAL + signal.SIGKILL
            case _:
                while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                    if ended[0] == pid:
                        code = os.waitstatus_to_exitcode(ended[1])
                        return code if code >= 0 else _BY_SIGNAL - code


def _end_all() -> None:
    """Orphans become children of this process: when it has none, nothing that came of the command lives."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for pid in descendants(os.getpid()):
                _hasten(pid)
            _send_all(signal.SIGKILL)
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _hasten(pid: int) -> None:
    """A process dies in its own time on the processor, of which it got little. Not every user may give it more."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text("0")
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PGRP, os.getpgid(pid), 0)


def _send_all(number: signal.Signals) -> None:
    for pid in descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


if __name__ == "__main__":
    main()
