"""Nodes and jobs of a Slurm cluster, through its own commands."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Protocol

from paceline.spec.base import Record
from paceline.spec.errors import ClusterError

_TIMEOUT_SECONDS = 30


class SlurmNode(Record):
    """A node as `scontrol` shows it. `states` are the base state and its flags (IDLE, DRAIN, ...); `extra` and
    `comment` are free text that survives a restart of slurmctld: the healer writes the one, the node's agent the
    other."""

    name: str
    states: tuple[str, ...]
    reason: str = ""
    extra: str = ""
    comment: str = ""


class SlurmJob(Record):
    """A job as `scontrol` shows it. `state` is PENDING, RUNNING, COMPLETED, ..., `reason` why it does not run; `nodes`
    is how many it has, or asks for, `hosts` their list, such as node[1-3]; `restarts` how often it was requeued."""

    number: int
    state: str
    reason: str
    nodes: int
    hosts: str
    restarts: int


class Slurm(Protocol):
    """What a node's agent asks of a cluster. ClusterError when it says no or cannot be reached."""

    def node(self, name: str) -> SlurmNode: ...

    def set_state(self, name: str, state: str, reason: str) -> None:
        """DOWN, DRAIN, RESUME, ... `reason` is shown by sinfo."""
        ...

    def set_comment(self, name: str, text: str) -> None: ...


class SlurmCommands:
    """The cluster whose slurm.conf this machine has."""

    def node(self, name: str) -> SlurmNode:
        """One node."""
        return _node(self._show("node", name)["nodes"][0])

    def set_state(self, name: str, state: str, reason: str) -> None:
        """See Slurm.set_state."""
        self.update(NodeName=name, State=state, Reason=reason)

    def set_comment(self, name: str, text: str) -> None:
        """See SlurmNode.comment."""
        self.update(NodeName=name, Comment=text)

    def reboot(self, name: str, reason: str) -> None:
        """By the cluster's RebootProgram, as soon as the node is free."""
        self._run("scontrol", "reboot", "ASAP", "nextstate=DOWN", f"reason={reason}", name)

    def show(self, kind: str) -> list[dict[str, Any]]:
        """All nodes, jobs or reservations, as Slurm's own records."""
        return list(self._show(kind)[kind])

    def version(self) -> tuple[int, int]:
        """Of Slurm itself, e.g. (24, 11)."""
        said = self._run("scontrol", "--version")  # slurm 24.11.5
        year, month, *_ = said.split()[-1].split(".")
        return int(year), int(month)

    def update(self, **fields: str) -> None:
        """Change what the first field names."""
        self._run("scontrol", "update", *(f"{key}={value}" for key, value in fields.items()))

    def job(self, number: int) -> SlurmJob:
        """One job, for as long as Slurm remembers it (MinJobAge after its end)."""
        return _job(self._show("job", str(number))["jobs"][0])

    def submit(self, script: Path) -> int:
        """The number of the job that this script becomes."""
        said = self._run("sbatch", "--parsable", str(script))
        return int(said.strip().split(";")[0])  # NUMBER;CLUSTER where there are several

    def requeue(self, job: int) -> None:
        """End a job, and have it begin again when there are nodes."""
        self._run("scontrol", "requeue", str(job))

    def host_names(self, nodes: str) -> list[str]:
        """The names in a list such as node[1-3]."""
        return self._run("scontrol", "show", "hostnames", nodes).split()

    def create(self, **fields: str) -> None:
        """Create a reservation."""
        self._run("scontrol", "create", "reservation", *(f"{key}={value}" for key, value in fields.items()))

    def delete(self, **fields: str) -> None:
        """Delete what the field names."""
        self._run("scontrol", "delete", *(f"{key}={value}" for key, value in fields.items()))

    def _show(self, *what: str) -> dict[str, Any]:
        return dict(json.loads(self._run("scontrol", "show", *what, "--json")))

    def _run(self, *command: str) -> str:
        call = " ".join(command)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
        except FileNotFoundError as error:
            raise ClusterError(f"{command[0]}: not installed", "run this where Slurm's commands are") from error
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"{call}: no answer within {_TIMEOUT_SECONDS} s", "is slurmctld up?") from error
        if done.returncode != 0:
            raise ClusterError(f"{call}: {(done.stderr or done.stdout).strip()}")
        return done.stdout


def _job(row: dict[str, Any]) -> SlurmJob:
    return SlurmJob(
        number=row["job_id"],
        state=row["job_state"][0],
        reason=row["state_reason"],
        nodes=row["node_count"]["number"],
        hosts=row["nodes"],
        restarts=row["restart_cnt"],
    )


def _node(row: dict[str, Any]) -> SlurmNode:
    return SlurmNode(
        name=row["name"],
        states=tuple(row["state"]),
        reason=row.get("reason", ""),
        extra=row.get("extra", ""),
        comment=row.get("comment", ""),
    )
