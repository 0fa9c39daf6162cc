"""A process that has imported what every worker needs, and forks one whenever it is asked to.

A new interpreter takes seconds of a core until it has imported torch; a fork has it at once and shares its memory. So
the standbys that follow a fault cost the run that goes on almost nothing. The server runs no thread and touches no
device, both of which would not survive the fork; workers run their first step, and meet their device, by themselves.

multiprocessing's own fork server would run the supervisor's main module again in every worker.

    python -m paceline.supervise.fork_server MODULE JOB_FILE CHANNEL PARENT      (started by the node supervisor only)

MODULE has `preload(job_file)` and `main(launch)`, which does not return.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import traceback
from importlib import import_module
from pathlib import Path
from types import ModuleType

from paceline.spec.base import Record
from paceline.supervise.link import WorkerLaunch
from paceline.supervise.process import children, die_with_parent, guarded

_MODULE = "paceline.supervise.fork_server"
_MESSAGE_BYTES = 1 << 16
_MOST_DESCRIPTORS = 16


class News(Record):
    """Of worker `pid`: it has ended with `code`, a signal's number if that is negative; or it has just begun."""

    pid: int
    code: int | None = None


class ForkedProcess:
    """A forked process, which only its server can wait for."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()
        self._handle: int | None = None  # a number may be another's once its process has ended, a handle may not
        with contextlib.suppress(ProcessLookupError):  # it may have ended already
            self._handle = os.pidfd_open(pid)

    def kill(self) -> None:
        """At once, if it has not ended."""
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    async def wait(self) -> int:
        """Its return code, when it has ended."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def ended(self, code: int) -> None:
        """Hear from the server that it has."""
        self.returncode = code
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        self._ended.set()


class ForkServer:
    """The supervisor's side. The server starts when it is needed first, and again when somebody has killed it, which
    takes its workers with it."""

    def __init__(self, module: str, job_file: Path, log: Path) -> None:
        self._module, self._job_file, self._log = module, job_file, log
        self._process: asyncio.subprocess.Process | None = None
        self._channel: socket.socket | None = None
        self._begun: asyncio.Queue[ForkedProcess | None] = asyncio.Queue()

    async def fork(self, launch: WorkerLaunch) -> ForkedProcess:
        """A worker with copies of the launch's descriptors. OSError if none can be had. One call at a time."""
        if self._channel is None:
            await self._start()
        assert self._channel is not None
        socket.send_fds(self._channel, [launch.model_dump_json().encode()], launch.descriptors)
        worker = await self._begun.get()
        if worker is None:
            raise OSError(f"the process that forks workers has ended; see {self._log}")
        return worker

    async def close(self) -> None:
        """End the server, and with it every worker that is left."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()

    async def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        number, parent = theirs.fileno(), os.getpid()
        with theirs, self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-u", "-m", _MODULE, self._module, str(self._job_file), str(number), str(parent)),
                pass_fds=[number],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        ours.setblocking(False)
        self._channel, self._begun = ours, asyncio.Queue()
        guarded(self._listen(ours, self._begun))

    async def _listen(self, channel: socket.socket, begun: asyncio.Queue[ForkedProcess | None]) -> None:
        living: dict[int, ForkedProcess] = {}
        try:
            while message := await asyncio.get_running_loop().sock_recv(channel, _MESSAGE_BYTES):
                news = News.model_validate_json(message)
                if news.code is None:
                    begun.put_nowait(living.setdefault(news.pid, ForkedProcess(news.pid)))
                else:
                    living.pop(news.pid).ended(news.code)
        except ConnectionError:
            pass  # it was killed with something unread
        self._channel = None
        channel.close()
        begun.put_nowait(None)
        for worker in living.values():
            worker.ended(-signal.SIGKILL)


def workers(supervisor: int) -> list[int]:
    """The workers of the node whose supervisor has this process number, those that train before their standbys."""
    return [worker for child in children(supervisor) if _is_server(child) for worker in children(child)]


def _is_server(pid: int) -> bool:
    try:
        return _MODULE in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return False


def serve(module: ModuleType, channel: socket.socket) -> None:
    """Fork for every launch record that comes, and tell of those that end, until the supervisor is gone."""
    server = os.getpid()
    with selectors.PollSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not channel:
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    _, status = os.waitpid(key.data, 0)
                    _tell(channel, News(pid=key.data, code=os.waitstatus_to_exitcode(status)))
                    continue
                message, descriptors, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, _MOST_DESCRIPTORS)
                if not message:
                    return
                launch = WorkerLaunch.model_validate_json(message).inheriting(descriptors)
                if (pid := os.fork()) == 0:
                    for mine in selector.get_map().values():
                        os.close(mine.fd)
                    _work(module, launch, server)
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
                for descriptor in descriptors:
                    os.close(descriptor)
                _tell(channel, News(pid=pid))


def _tell(channel: socket.socket, news: News) -> None:
    channel.send(news.model_dump_json().encode())


def _work(module: ModuleType, launch: WorkerLaunch, server: int) -> None:
    try:
        die_with_parent(server)
        module.main(launch)
    except BaseException:  # noqa: BLE001 - nothing may go on in the server's loop
        traceback.print_exc()
    finally:
        os._exit(1)


def main() -> None:
    """Entry of the server's process; see the module's docstring."""
    name, job_file, channel, parent = sys.argv[1:]
    die_with_parent(int(parent))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor decides, not the terminal
    module = import_module(name)
    module.preload(Path(job_file))
    gc.freeze()  # a collection would write into every page that is shared
    serve(module, socket.socket(fileno=int(channel)))


if __name__ == "__main__":
    main()
