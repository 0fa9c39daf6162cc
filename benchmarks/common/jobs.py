"""The one job of all training benchmarks, under paceline and under torchrun: same data, recipe, engine and model."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from paceline.data.corpus import interpreter_documentation
from paceline.data.prepare import prepare
from paceline.journal.reader import Follower
from paceline.launch.job import JOB_NAME, RunRequest, render
from paceline.recipe.load import load
from paceline.spec.errors import LaunchError
from paceline.spec.events import AnyEvent, now
from paceline.spec.job import JobSpec

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPE = "debug-llama"
RANKS = 2

_POLL_SECONDS = 0.05  # as LocalRun
_LEAVE_SECONDS = 5.0


@contextmanager
def workspace() -> Iterator[Path]:
    """A directory for everything that a benchmark writes; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="paceline-bench-") as directory:
        yield Path(directory)


def dataset(directory: Path) -> Path:
    """The data of the demo: this Python's documentation, tokenised."""
    output = directory / "dataset"
    source = f"documentation of {platform.python_implementation()} {platform.python_version()}"
    prepare(list(interpreter_documentation()), name="python-documentation", source=source, output=output)
    return output


def job(directory: Path, data: Path, overrides: Sequence[str], *, spares: int = 0) -> JobSpec:
    """A rendered run of RECIPE on RANKS nodes with one rank each, in `directory`; the peer reads the same file."""
    request = RunRequest(
        name=directory.name,
        recipe=load(RECIPE, overrides),
        dataset=str(data),
        checkpoints=str(directory / "checkpoints"),
        nodes=RANKS,
        spares=spares,
    )
    return render(request, directory)


class TorchrunRun:
    """The peer's job under one torchrun agent; a context that leaves nothing behind."""

    def __init__(
        self, job: JobSpec, directory: Path, *, mode: str, every: int, max_restarts: int, mended: bool = True
    ) -> None:
        self.detected: datetime | None = None
        self._directory = directory
        self._follower = Follower(Path(job.journal))
        self._log = directory / "torchrun.log"
        self._command = [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"),
            *(f"--nproc-per-node={RANKS}", f"--max-restarts={max_restarts}", "--monitor-interval=0.05"),
            *("-m", "benchmarks.peers.torchrun_dcp", str(directory / JOB_NAME), str(directory), mode, str(every)),
            *([] if mended else ["--stock"]),
        ]

    def __enter__(self) -> Self:
        rooms = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": rooms}
        self._agent = subprocess.Popen(
            self._command,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the agent, which ends its workers; those die with their agent if it has to be killed."""
        self._agent.terminate()
        try:
            self._agent.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._agent.kill()
            self._agent.wait()
        self._listener.join()  # the pipe ends with the last worker

    def events(self, patience: float) -> Iterator[AnyEvent]:
        """What the workers write, until the agent has ended, or nothing was written for `patience` seconds."""
        deadline = time.monotonic() + patience
        while True:
            ended = self._agent.poll() is not None or time.monotonic() > deadline
            for event in self._follower.poll():
                yield event
                deadline = time.monotonic() + patience
            if ended:
                return
            time.sleep(_POLL_SECONDS)

    def worker(self, rank: int) -> int:
        """The process id of the present worker of `rank`."""
        return int((self._directory / f"rank-{rank}.pid").read_text(encoding="utf-8"))

    def failure(self) -> LaunchError:
        """What to raise when the run did not do what it was started for."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        last = lines[-1].strip() if lines else "without a word"
        return LaunchError(f"torchrun did not get through: {last}", "run it again on a machine with less load")

    def _listen(self) -> None:
        """Keep the log; the agent's first word about a dead worker is the moment of detection."""
        assert self._agent.stdout is not None
        with self._log.open("wb") as log:
            for line in self._agent.stdout:
                if self.detected is None and b"failed (exitcode" in line:
                    self.detected = now()
                log.write(line)
                log.flush()
