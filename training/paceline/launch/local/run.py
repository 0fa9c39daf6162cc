"""A run on this machine: nodes are process groups on loopback, each with its own supervisor, directory and ports.

The processes and what they say to each other are those of a cluster; only where they are started differs. Whatever
happens to this process, they end with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from paceline.journal.reader import Follower
from paceline.launch.coordinator import KeptCoordinator, spawn
from paceline.launch.job import JOB_NAME, claim, new_token
from paceline.launch.warm_up import LOG_NAME, Command, compile_ahead
from paceline.spec.errors import LaunchError
from paceline.spec.events import AnyEvent, GenerationOpened, RunFinished
from paceline.spec.job import JobSpec
from paceline.spec.names import ENV_RUN_TOKEN
from paceline.supervise.process import die_with_parent, living_members

_POLL_SECONDS = 0.05
_NODE_NUMBER = "PACELINE_NODE_NUMBER"


class LocalRun:
    """Starts the coordinator and the nodes of a rendered job; a context that leaves nothing behind. `say` hears what
    takes long before there are events."""

    def __init__(
        self,
        job: JobSpec,
        directory: Path,
        environment: Mapping[str, str],
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.job = job
        self.directory = directory
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = {
            **environment,
            **job.environment,
            ENV_RUN_TOKEN: new_token(),
            "OMP_NUM_THREADS": "1",
            "GLOO_SOCKET_IFNAME": "lo",
            "PYTHONUNBUFFERED": "1",
        }
        # looked up when it is called: who starts processes elsewhere overrides it
        self._coordinator = KeptCoordinator(directory, lambda *arguments: self._spawn(*arguments))
        self._say = say
        self._stopping = False
        self._begun = False
        self._claim: int | None = None
        self._follower = Follower(Path(job.journal))

    def __enter__(self) -> Self:
        self._claim = claim(self.directory)
        self._follower.poll()  # what an earlier part of this run wrote has been told before
        try:
            if not self._compile_ahead():
                raise KeyboardInterrupt
            self._coordinator.start()
            for index in range(self.job.nodes + self.job.spares):
                self.start_node(f"node-{index}")
        except BaseException:  # Ctrl-C too: __exit__ is not called for an __enter__ that failed
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def events(self) -> Iterator[AnyEvent]:
        """What happens, as it happens, up to and including `run.finished`.

        Raises LaunchError when the coordinator keeps dying, or too many supervisors end before training begins.
        """
        while True:
            seen = self.poll()
            yield from seen
            if any(isinstance(event, RunFinished) for event in seen):
                return
            time.sleep(_POLL_SECONDS)

    def poll(self) -> list[AnyEvent]:
        """What has happened since the last time; a coordinator that died meanwhile is replaced. Raises as `events`."""
        ended = self._coordinator.ended  # asked first: its last words are in the journal then
        seen = self._follower.poll()
        self._begun = self._begun or any(isinstance(event, GenerationOpened) for event in seen)
        if not any(isinstance(event, RunFinished) for event in seen):
            if not self._begun and not ended:
                self._check_that_it_can_begin()
            if ended:
                self._coordinator.replace()
        return seen

    def request_stop(self) -> None:
        """Ask for a last checkpoint and an end after the current step."""
        self._stopping = True
        self._coordinator.request_stop()

    def wait(self, seconds: float = 5.0) -> None:
        """Give the processes of a finished run a moment to leave by themselves."""
        deadline = time.monotonic() + seconds
        processes = self._processes()
        while any(p.poll() is None for p in processes) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def start_node(self, name: str) -> None:
        """Start node `name`, or start it again after it has ended."""
        directory = self.directory / "nodes" / name
        directory.mkdir(parents=True, exist_ok=True)
        arguments = [str(self.job_file(name)), name, "127.0.0.1", str(directory), str(os.getpid())]
        self.nodes[name] = self._spawn("paceline.supervise.node", arguments, directory / "supervisor.log")

    def job_file(self, node: str) -> Path:
        """Where `node` reads what the run is: all read the same file."""
        return self.directory / JOB_NAME

    def kill_node(self, node: str) -> None:
        """The blow of a chaos test: SIGKILL to everything that runs on the node."""
        os.killpg(self.nodes[node].pid, signal.SIGKILL)

    def drain_node(self, node: str) -> None:
        """The node's capacity ends: ask it to hand over and leave."""
        self.nodes[node].terminate()

    def kill_coordinator(self) -> None:
        """The same for the coordinator."""
        assert self._coordinator.process is not None
        self._coordinator.process.kill()

    def kill(self) -> None:
        """End every process of the run, now."""
        processes = self._processes()
        for process in processes:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # the whole group is gone already
        for process in processes:
            process.wait()
        for process in processes:
            while living_members(process.pid):
                time.sleep(0.01)
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    def _processes(self) -> list[subprocess.Popen[bytes]]:
        coordinator = self._coordinator.process
        return [*self.nodes.values(), *([coordinator] if coordinator else [])]

    def _compile_ahead(self) -> bool:
        def start(command: Command) -> list[subprocess.Popen[bytes]]:
            environment = {**self._environment, **command.environment}
            with (self.directory / LOG_NAME).open("ab") as log:
                return [
                    subprocess.Popen(
                        command.arguments,
                        env=environment | {_NODE_NUMBER: str(number)},
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                        preexec_fn=partial(die_with_parent, os.getpid()),  # it is not ours: it would not ask for it
                    )
                    for number in range(self.job.nodes)
                ]

        return compile_ahead(
            self.job,
            self.directory,
            variable=_NODE_NUMBER,
            start=start,
            stopping=lambda: self._stopping,
            say=self._say,
        )

    def _spawn(self, module: str, arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
        return spawn(module, arguments, log, self._environment)

    def _check_that_it_can_begin(self) -> None:
        """A supervisor that fails at its start does not come back: say so now, not when the coordinator gives up. One
        that ended with 0 was told to leave, and the coordinator says why."""
        failed = {name: code for name, process in self.nodes.items() if (code := process.poll())}
        if not failed or len(self.nodes) - len(failed) >= self.job.nodes or self._stopping:
            return
        name, code = next(iter(failed.items()))
        log = self.directory / "nodes" / name / "supervisor.log"
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise LaunchError(
            f"{name}: its supervisor ended with code {code} before training began: {said[-1] if said else 'no word'}",
            f"see {log}",
        )
