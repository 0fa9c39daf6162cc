"""A local run whose nodes reach the coordinator over relays, one each, and so one that can be cut off."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from paceline.chaos.relay import Relay
from paceline.launch.job import JOB_NAME
from paceline.launch.local.run import LocalRun
from paceline.spec.job import JobSpec


class RelayedRun(LocalRun):
    """What nodes read as the coordinator's port is that of their relay; nothing else differs."""

    def __init__(self, job: JobSpec, directory: Path, environment: Mapping[str, str]) -> None:
        super().__init__(job, directory, environment)
        names = [f"node-{index}" for index in range(job.nodes + job.spares)]
        self.relays = {name: Relay(job.coordinator_port) for name in names}

    def job_file(self, node: str) -> Path:
        path = self.directory / "nodes" / node / JOB_NAME
        told = self.job.model_copy(update={"coordinator_port": self.relays[node].port})
        path.write_text(told.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return path

    def kill(self) -> None:
        super().kill()
        for relay in self.relays.values():
            relay.close()
