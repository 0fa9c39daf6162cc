"""Reach the node that this process runs on: commands with a time-out, files under a root, the kernel log.

In a container the root is where the host's file system is mounted.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import time
from collections import deque
from pathlib import Path

from paceline.health.base import InconclusiveError, Output

_MAX_OUTPUT = 2**20
_KMSG_RECORD = 8192  # the kernel's own limit of a record
_KEPT_RECORDS = 4096
_UNKILLABLE_SECONDS = 1.0


class HostProbe:
    """The machine below `root`. Checks that ask for the same command within `share` seconds get one answer: half a
    dozen of them read the same table of nvidia-smi."""

    def __init__(self, root: Path = Path("/"), *, share: float = 5.0) -> None:
        self._root, self._share = root, share
        self._kmsg: int | None = None
        self._records: deque[tuple[int, str]] = deque(maxlen=_KEPT_RECORDS)
        self._asked: dict[tuple[str, ...], tuple[float, asyncio.Task[Output]]] = {}

    async def run(self, *argv: str, timeout: float) -> Output:
        """See Probe.run."""
        now = time.monotonic()
        self._asked = {key: asked for key, asked in self._asked.items() if now - asked[0] < self._share}
        if argv not in self._asked:
            self._asked[argv] = (now, asyncio.create_task(_run(argv, timeout)))
        return await asyncio.shield(self._asked[argv][1])

    def read(self, path: str) -> str:
        """See Probe.read."""
        try:
            return self._at(path).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise InconclusiveError(f"{path}: {error.strerror}") from error

    def find(self, pattern: str) -> list[str]:
        """See Probe.find."""
        found = sorted(self._root.glob(pattern.lstrip("/")))
        return ["/" + str(path.relative_to(self._root)) for path in found]

    def kernel_log(self, after: int) -> str:
        """See Probe.kernel_log. The log stays open: what was read once is kept for the other checks."""
        if self._kmsg is None:
            try:
                self._kmsg = os.open(self._at("/dev/kmsg"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                raise InconclusiveError(f"/dev/kmsg: {error.strerror}") from error
        self._read_kmsg(self._kmsg)
        return "".join(f"{record}\n" for number, record in self._records if number > after)

    def _read_kmsg(self, log: int) -> None:
        part = bytearray()
        while True:
            try:
                record = os.read(log, _KMSG_RECORD)
            except BlockingIOError:
                break  # all that is there was read; later records are read at the next call
            except OSError as error:
                if error.errno == errno.EPIPE:  # overwritten while we read: go on with the next
                    continue
                raise InconclusiveError(f"/dev/kmsg: {error.strerror}") from error
            if not record:
                break
            part += record
        for line in part.decode(errors="replace").splitlines():
            number = line.split(",", 2)[1:2]
            if number and number[0].isdecimal():
                self._records.append((int(number[0]), line))

    def space(self, path: str) -> tuple[float, float]:
        """See Probe.space."""
        try:
            now = os.statvfs(self._at(path))
        except OSError as error:
            raise InconclusiveError(f"{path}: {error.strerror}") from error
        inodes = 100.0 * now.f_favail / now.f_files if now.f_files else 100.0  # btrfs and the like have no limit
        return 100.0 * now.f_bavail / max(1, now.f_blocks), inodes

    def _at(self, path: str) -> Path:
        return self._root / path.lstrip("/")


async def _run(argv: tuple[str, ...], timeout: float) -> Output:
    if shutil.which(argv[0]) is None:
        raise InconclusiveError(f"{argv[0]}: not installed")
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise InconclusiveError(f"{argv[0]}: {error.strerror}") from error
    talking = asyncio.create_task(process.communicate())
    try:
        stdout, stderr = await asyncio.wait_for(asyncio.shield(talking), timeout)
    except TimeoutError:
        raise InconclusiveError(f"{argv[0]}: no answer within {timeout:g} s") from None
    finally:
        if not talking.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            # one that waits for a device that is gone cannot be killed: the kernel ends it when it can
            await asyncio.wait([talking], timeout=_UNKILLABLE_SECONDS)
            talking.cancel()
    return Output(code=process.returncode or 0, stdout=_text(stdout), stderr=_text(stderr))


def _text(raw: bytes) -> str:
    return raw[:_MAX_OUTPUT].decode(errors="replace")
