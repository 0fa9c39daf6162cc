"""A local run whose nodes reach the coordinator over relays, one each, and so one that can be cut off."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path

from paceline.chaos.relay import Relay
from paceline.launch.job import JOB_NAME
from paceline.launch.local.run import LocalRun
from paceline.spec.job import JobSpec


class RelayedRun(LocalRun):
    """What nodes read as the coordinator's port is that of their relay; nothing else differs. `ports` are all that
    it has used."""

    def __init__(self, job: JobSpec, directory: Path, environment: Mapping[str, str]) -> None:
        super().__init__(job, directory, environment)
        self.relays: dict[str, Relay] = {}
        self.ports = [job.coordinator_port]
        self._numbers = count(job.nodes + job.spares)

    def start_node(self, name: str) -> None:
        if name not in self.relays:
            self.relays[name] = Relay(self.job.coordinator_port)
            self.ports.append(self.relays[name].port)
        super().start_node(name)

    def exchange_node(self, name: str) -> None:
        """Take node `name` away for good, and give the run another one."""
        self.kill_node(name)
        self.nodes.pop(name).wait()
        self.relays.pop(name).close()
        self.start_node(f"node-{next(self._numbers)}")

    def job_file(self, node: str) -> Path:
        path = self.directory / "nodes" / node / JOB_NAME
        told = self.job.model_copy(update={"coordinator_port": self.relays[node].port})
        path.write_text(told.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return path

    def kill(self) -> None:
        super().kill()
        for relay in self.relays.values():
            relay.close()
