"""A run that was submitted to the test cluster, and what is to be seen of it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from paceline.journal.reader import Follower
from paceline.spec.events import AnyEvent, Event, GenerationOpened, StepFinished
from tests.slurm.cluster import Cluster

PACELINE = (sys.executable, "-c", "from paceline.cli.main import main; main()")
_SECONDS = 240.0
E = TypeVar("E", bound=Event)


class Run:
    """`paceline run debug-tiny --on slurm`, in `directory` / run, with `environment` beside the usual one."""

    def __init__(
        self,
        cluster: Cluster,
        dataset: Path,
        directory: Path,
        nodes: int,
        spares: int,
        more: Sequence[str],
        environment: Mapping[str, str],
    ) -> None:
        self.cluster, self.directory = cluster, directory / "run"
        self.events: list[AnyEvent] = []
        self._journal = Follower(self.directory / "journal")
        command = [*PACELINE, "run", "debug-tiny", "--on", "slurm", "--nodes", str(nodes), "--spares", str(spares)]
        command += ["--data", str(dataset), "--directory", str(self.directory), "--set", "schedule.steps=100000"]
        self.name = f"run-{directory.name}"
        self.process = cluster.start(self.name, *command, *more, **ours(), **environment)
        self.poll_until(lambda: "submitted" in self.said, "the run was not submitted")
        self.job = _number(self.said)

    @property
    def said(self) -> str:
        """What the command has said."""
        return self.cluster.log(self.name)

    def of(self, kind: type[E]) -> list[E]:
        self.events += self._journal.poll()
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def victim(self) -> str:
        """A node that trains, and not the first: the coordinator is there."""
        [node] = [node for node, rank in self.generation.ranks.items() if rank == 1]
        return node

    @property
    def requeued(self) -> int:
        """How often Slurm has requeued its job."""
        return int(self.cluster.show("job", str(self.job))["jobs"][0]["restart_cnt"])

    @property
    def generation(self) -> GenerationOpened:
        """The newest."""
        return self.of(GenerationOpened)[-1]

    def steps(self, generation: int) -> list[StepFinished]:
        """Those of one generation, as its first rank told them."""
        return [event for event in self.of(StepFinished) if event.generation == generation]

    def trains(self, steps: int = 1, generation: int = 0) -> None:
        """Wait until so many steps are done in this generation."""
        self.poll_until(lambda: len(self.steps(generation)) >= steps, f"no step of generation {generation}")

    def seconds_to_next_step(self, generation: int, since: float) -> float:
        """How long after `since`, a time of the clock, the first step of this generation was done."""
        self.trains(1, generation)
        return self.steps(generation)[0].time.timestamp() - since

    def resumes(self, since: float) -> float:
        """How long after `since` the first step of a generation was done that began from a durable checkpoint."""
        resumed = lambda: [event for event in self.of(GenerationOpened) if event.restore_from == "manifest"]  # noqa: E731
        self.poll_until(resumed, "the run was not resumed")
        generation = resumed()[-1].generation
        assert generation is not None
        return self.seconds_to_next_step(generation, since)

    def poll_until(self, done: Callable[[], object], otherwise: str, seconds: float = _SECONDS) -> None:
        """Wait for it; AssertionError with what was said when it takes too long."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                logs = "".join(path.read_text() for path in sorted(self.directory.glob("*.log")))
                raise AssertionError(f"{otherwise}\n{self.said}\n{logs}")
            time.sleep(0.1)

    def end(self) -> None:
        """Cancel what is left of it; once more, it does nothing."""
        if self.name in self.cluster.daemons:
            self.cluster.run("scancel", str(self.job), check=False)
            self.cluster.stop(self.name)


def ours() -> dict[str, str]:
    """The environment in which our programs are found, and write to the node's own disk."""
    return {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "TMPDIR": "/var/tmp"}


def _number(said: str) -> int:
    [line] = [line for line in said.splitlines() if " submitted;" in line][-1:]
    return int(line.split()[1])
