"""The batch step of a run's job, on its first node: the coordinator, and one srun for the supervisors of all nodes.

    python -m paceline.launch.slurm.batch DIRECTORY      (started by the job's script; the token is in the environment)

SIGUSR1, which Slurm sends before the time limit and before a preemption, ends the run after its current step with a
last checkpoint and requeues the job. SIGTERM does the same without the requeue. A lost node changes nothing here; when
Slurm has left the job fewer nodes than the run can do with, or the coordinator gives up for that reason, the job is
requeued and goes on from the newest checkpoint.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Protocol

from paceline.clients.slurm import SlurmCommands, SlurmJob
from paceline.journal.reader import Follower
from paceline.launch.coordinator import KeptCoordinator, spawn
from paceline.launch.job import JOB_NAME, claim, free_port
from paceline.launch.slurm.address import address_towards
from paceline.launch.slurm.node import ENV_FIRST_NODE
from paceline.launch.warm_up import LOG_NAME, Command, compile_ahead
from paceline.spec.errors import ClusterError, LaunchError, PacelineError
from paceline.spec.events import AnyEvent, FaultClassified, GenerationOpened, RunFinished
from paceline.spec.job import JobSpec
from paceline.supervise.herald import next_generation

_POLL_SECONDS = 0.1
_ASK_SLURM_SECONDS = 1.0
_LEAVE_SECONDS = 5.0

# srun: a supervisor that ends, or is lost with its node, ends no other (--no-kill, --kill-on-bad-exit=0, --wait=0)
_SRUN = ("srun", "--no-kill", "--kill-on-bad-exit=0", "--wait=0", "--ntasks-per-node=1", "--open-mode=append")


class Slurm(Protocol):
    """What is asked of the cluster. ClusterError when it says no or cannot be reached."""

    def host_names(self, nodes: str) -> list[str]: ...

    def job(self, number: int) -> SlurmJob: ...

    def requeue(self, job: int) -> None: ...


class Batch:
    """One start of the job."""

    def __init__(self, directory: Path, slurm: Slurm) -> None:
        self._directory, self._slurm = directory, slurm
        self._number = int(os.environ["SLURM_JOB_ID"])
        self._hosts = slurm.host_names(os.environ["SLURM_JOB_NODELIST"])
        self._job = self._settle()
        self._follower = Follower(Path(self._job.journal))
        self._follower.poll()  # what an earlier start told
        self._coordinator = KeptCoordinator(directory, partial(spawn, environment=os.environ))
        self._nodes: subprocess.Popen[bytes] | None = None
        self._ending_soon = False
        self._stopping = False
        self._lacks_nodes = False
        self._asked_slurm = 0.0

    def run(self) -> int:
        """Until the run is over; the exit code of the job."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGUSR1, self._stop)
        if not self._compile_ahead():
            if self._ending_soon:
                self._slurm.requeue(self._number)
            return 0
        finished = None
        try:
            self._coordinator.start()
            self._nodes = self._start_nodes()
            for event in self._events():
                self._note(event)
                finished = event if isinstance(event, RunFinished) else finished
            self._wait_for_the_nodes()
        finally:
            self._kill()
        assert finished is not None
        cut_short = finished.outcome == "stopped" and self._ending_soon
        if cut_short or (finished.outcome == "failed" and self._lacks_nodes):
            self._slurm.requeue(self._number)
        return 1 if finished.outcome == "failed" else 0

    def _settle(self) -> JobSpec:
        """What could not be known before there were nodes: where the coordinator is."""
        path = self._directory / JOB_NAME
        job = JobSpec.model_validate_json(path.read_text(encoding="utf-8"))
        others = [host for host in self._hosts if host != os.environ["SLURMD_NODENAME"]]
        settled = job.model_copy(
            update={
                "coordinator_host": address_towards(others[0]) if others else "127.0.0.1",
                "coordinator_port": free_port(),
                "first_generation": next_generation(Follower(Path(job.journal)).poll()),
            }
        )
        draft = path.with_suffix(".draft")
        draft.write_text(settled.model_dump_json(indent=1) + "\n", encoding="utf-8")
        draft.replace(path)
        return settled

    def _compile_ahead(self) -> bool:
        """On the first nodes of the allocation, as many as train; False if the job is to end first."""

        def start(command: Command) -> list[subprocess.Popen[bytes]]:
            nodes = (f"--nodes={self._job.nodes}", f"--ntasks={self._job.nodes}")
            log = f"--output={self._directory / LOG_NAME}"
            srun = ("srun", "--kill-on-bad-exit=1", "--ntasks-per-node=1", "--open-mode=append", *nodes, log)
            return [
                subprocess.Popen(
                    [*srun, *command.arguments],
                    env={**os.environ, **command.environment},
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            ]

        return compile_ahead(
            self._job,
            self._directory,
            variable="SLURM_NODEID",
            start=start,
            stopping=lambda: self._stopping,
            say=lambda text: print(text, flush=True),  # noqa: T201
        )

    def _start_nodes(self) -> subprocess.Popen[bytes]:
        for host in self._hosts:
            (self._directory / "nodes" / host).mkdir(parents=True, exist_ok=True)
        log = f"--output={self._directory}/nodes/%N/supervisor.log"
        return subprocess.Popen(
            [*_SRUN, log, sys.executable, "-m", "paceline.launch.slurm.node", str(self._directory)],
            env={**os.environ, ENV_FIRST_NODE: os.environ["SLURMD_NODENAME"]},
            stdin=subprocess.DEVNULL,
        )

    def _events(self) -> Iterator[AnyEvent]:
        while True:
            ended = self._coordinator.ended  # asked first: its last words are in the journal then
            seen = self._follower.poll()
            yield from seen
            if any(isinstance(event, RunFinished) for event in seen):
                return
            if ended:
                self._coordinator.replace()
            if self._nodes is not None and self._nodes.poll() is not None:
                raise LaunchError(
                    f"run {self._job.run}: all its supervisors ended (srun: {self._nodes.returncode})",
                    f"see {self._directory / 'nodes'}",
                )
            if self._lacks_nodes:
                self._requeue_if_too_few()
            time.sleep(_POLL_SECONDS)

    def _note(self, event: AnyEvent) -> None:
        if isinstance(event, FaultClassified):
            self._lacks_nodes = event.fault_class == "node_lost"
        elif isinstance(event, GenerationOpened):
            self._lacks_nodes = False

    def _requeue_if_too_few(self) -> None:
        """While nodes are lacking, ask Slurm how many it has left to this job."""
        if time.monotonic() - self._asked_slurm < _ASK_SLURM_SECONDS:
            return
        self._asked_slurm = time.monotonic()
        try:
            left = self._slurm.job(self._number).nodes
            if left < min(self._job.sizes):
                print(f"{left} nodes are left, the run needs {min(self._job.sizes)}: requeue", flush=True)  # noqa: T201
                self._slurm.requeue(self._number)
        except ClusterError as error:  # slurmctld is away: the next look may find it
            print(error, file=sys.stderr, flush=True)  # noqa: T201

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        self._ending_soon = self._ending_soon or number == signal.SIGUSR1
        self._coordinator.request_stop()

    def _wait_for_the_nodes(self) -> None:
        assert self._nodes is not None
        try:
            self._nodes.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            pass  # Slurm ends what is left when this step does

    def _kill(self) -> None:
        for process in (self._nodes, self._coordinator.process):
            if process is not None:
                process.kill()
                process.wait()


def main() -> None:
    """Entry of the job's script; see the module's docstring."""
    directory = Path(sys.argv[1])
    try:
        descriptor = claim(directory)
        code = Batch(directory, SlurmCommands()).run()
        os.close(descriptor)
    except PacelineError as error:
        print(error, file=sys.stderr)  # noqa: T201
        code = error.exit_code
    sys.exit(code)


if __name__ == "__main__":
    main()
