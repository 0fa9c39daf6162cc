"""The process that forks workers, and what becomes of them when it, or its supervisor, is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from paceline.supervise.fork_server import ForkedProcess, ForkServer, workers
from paceline.supervise.link import WorkerLaunch

# each worker says what it was given, and does what the job's name says
MODULE = """
import os, signal, socket, sys
from pathlib import Path

PRELOADED = []

def preload(job_file):
    if job_file.name == "lacking":
        raise ImportError("no torch here")
    PRELOADED.append(os.getpid())

def main(launch):
    open_files = len(list(Path("/proc/self/fd").iterdir()))
    channel = socket.socket(fileno=launch.channel_fd)
    channel.send(f"{PRELOADED == [os.getppid()]} {launch.node} {open_files}".encode())
    if launch.node == "ends":
        os._exit(7)
    if launch.node == "returns":
        return
    signal.pause()
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ForkServer:
    (tmp_path / "forked.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return ForkServer("forked", tmp_path / "job", tmp_path / "log")


async def forked(server: ForkServer, node: str) -> tuple[ForkedProcess, str]:
    """A worker, and its word."""
    ours, theirs = socket.socketpair()
    pipe = os.pipe()
    launch = WorkerLaunch(
        job_file="",
        node=node,
        local_rank=0,
        data_directory="",
        channel_fd=theirs.fileno(),
        progress_fd=pipe[0],
        stacks_fd=pipe[1],
        segment_fds=(pipe[0], pipe[1]),
        listen_fd=None,
    )
    with ours, theirs:
        process = await server.fork(launch)
        ours.setblocking(False)
        word = await asyncio.get_running_loop().sock_recv(ours, 1000)
    for descriptor in pipe:
        os.close(descriptor)
    return process, word.decode()


def play(server: ForkServer, act: Callable[[], Coroutine[None, None, None]]) -> None:
    async def whole() -> None:
        try:
            async with asyncio.timeout(60):
                await act()
        finally:
            await server.close()

    asyncio.run(whole())


def test_workers_have_what_the_server_has_imported_and_their_own_descriptors(server: ForkServer) -> None:
    async def act() -> None:
        first, said = await forked(server, "waits")
        second, said_too = await forked(server, "waits")
        assert said.startswith("True waits") and said == said_too, "as many files are open, whoever else lives"
        assert workers(os.getpid()) == [first.pid, second.pid]
        first.kill()
        assert await first.wait() == -signal.SIGKILL
        first.kill()
        assert workers(os.getpid()) == [second.pid]

    play(server, act)


def test_the_code_that_a_worker_ends_with_is_told(server: ForkServer) -> None:
    async def act() -> None:
        process, _ = await forked(server, "ends")
        assert await process.wait() == 7
        process, _ = await forked(server, "returns")
        assert await process.wait() == 1, "it must not go on as a second server"

    play(server, act)


def test_a_killed_server_takes_its_workers_with_it_and_the_next_call_starts_another(server: ForkServer) -> None:
    async def act() -> None:
        process, _ = await forked(server, "waits")
        parent = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1]
        os.kill(int(parent), signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL
        again, said = await forked(server, "waits")
        assert said.startswith("True") and workers(os.getpid()) == [again.pid]

    play(server, act)


def test_a_server_that_lacks_what_it_should_import_is_told_of(server: ForkServer, tmp_path: Path) -> None:
    lacking = ForkServer("forked", tmp_path / "lacking", tmp_path / "log")

    async def act() -> None:
        with pytest.raises(OSError, match="the process that forks workers has ended; see .*log"):
            await forked(lacking, "waits")

    play(lacking, act)
    assert "no torch here" in (tmp_path / "log").read_text()


def test_what_a_trainer_imports_can_be_forked() -> None:
    """One thread, and no device was asked for: neither would survive."""
    code = (
        "import os, torch\nfrom paceline.engines import registry\nimport paceline.train.worker\n"
        "registry.preload('torch')\n"
        "import sys\nassert 'paceline.engines.torch.engine' in sys.modules\n"
        "print(len(os.listdir('/proc/self/task')), torch.cuda.is_initialized())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"]
