"""Nodes and jobs of a Slurm cluster, through its own commands."""

from __future__ import annotations

import json
import subprocess
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
    features: tuple[str, ...] = ()


class SlurmJob(Record):
    """A job; `nodes` in Slurm's own short form (`node-[1-4]`)."""

    id: int
    state: str
    user: str
    nodes: str
    requeue: bool


class Slurm(Protocol):
    """What paceline asks of a cluster. ClusterError when it says no or cannot be reached."""

    def nodes(self) -> list[SlurmNode]: ...

    def node(self, name: str) -> SlurmNode: ...

    def set_state(self, name: str, state: str, reason: str = "") -> None:
        """DOWN, DRAIN, RESUME, ... `reason` is shown by sinfo."""
        ...

    def set_extra(self, name: str, text: str) -> None: ...

    def set_comment(self, name: str, text: str) -> None: ...

    def reboot(self, name: str, reason: str) -> None:
        """By the cluster's RebootProgram, as soon as the node is free."""
        ...

    def jobs(self, node: str) -> list[SlurmJob]:
        """The jobs that run on a node."""
        ...

    def requeue(self, job: int) -> None: ...

    def start_now(self, job: int) -> None:
        """Release the hold of two minutes that Slurm puts on a job that was requeued."""
        ...

    def reserve(self, name: str, nodes: tuple[str, ...], minutes: int, user: str) -> None:
        """A maintenance reservation that ignores running jobs and starts now."""
        ...

    def unreserve(self, name: str) -> None: ...


class SlurmCommands:
    """The cluster whose slurm.conf this machine has."""

    def nodes(self) -> list[SlurmNode]:
        """All nodes."""
        return [_node(row) for row in self._show("nodes")["nodes"]]

    def node(self, name: str) -> SlurmNode:
        """One node."""
        return _node(self._show("node", name)["nodes"][0])

    def set_state(self, name: str, state: str, reason: str = "") -> None:
        """See Slurm.set_state."""
        self._update(f"NodeName={name}", f"State={state}", *([f"Reason={reason}"] if reason else []))

    def set_comment(self, name: str, text: str) -> None:
        """See SlurmNode.comment."""
        self._update(f"NodeName={name}", f"Comment={text}")

    def set_extra(self, name: str, text: str) -> None:
        """See SlurmNode.extra."""
        self._update(f"NodeName={name}", f"Extra={text}")

    def reboot(self, name: str, reason: str) -> None:
        """See Slurm.reboot."""
        self._run("scontrol", "reboot", "ASAP", "nextstate=DOWN", f"reason={reason}", name)

    def jobs(self, node: str) -> list[SlurmJob]:
        """See Slurm.jobs."""
        listed = json.loads(self._run("squeue", "--json", "--nodelist", node, "--states", "RUNNING,COMPLETING"))
        return [_job(row) for row in listed["jobs"]]

    def requeue(self, job: int) -> None:
        """Put a job back into the queue."""
        self._run("scontrol", "requeue", str(job))

    def start_now(self, job: int) -> None:
        """See Slurm.start_now."""
        self._update(f"JobId={job}", "StartTime=now")

    def reserve(self, name: str, nodes: tuple[str, ...], minutes: int, user: str) -> None:
        """See Slurm.reserve."""
        what = (f"ReservationName={name}", f"Nodes={','.join(nodes)}", f"Users={user}")
        when = ("StartTime=now", f"Duration={minutes}", "Flags=MAINT,IGNORE_JOBS")
        self._run("scontrol", "create", "reservation", *what, *when)

    def unreserve(self, name: str) -> None:
        """End a reservation."""
        self._run("scontrol", "delete", f"ReservationName={name}")

    def show(self, kind: str) -> list[dict[str, Any]]:
        """All nodes, jobs or reservations, as Slurm's own records."""
        return list(self._show(kind)[kind])

    def update(self, **fields: str) -> None:
        """Change what the first field names."""
        self._update(*(f"{key}={value}" for key, value in fields.items()))

    def create(self, **fields: str) -> None:
        """Create a reservation."""
        self._run("scontrol", "create", "reservation", *(f"{key}={value}" for key, value in fields.items()))

    def delete(self, **fields: str) -> None:
        """Delete what the field names."""
        self._run("scontrol", "delete", *(f"{key}={value}" for key, value in fields.items()))

    def _show(self, *what: str) -> dict[str, Any]:
        return dict(json.loads(self._run("scontrol", "show", *what, "--json")))

    def _update(self, *settings: str) -> None:
        self._run("scontrol", "update", *settings)

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


def _node(row: dict[str, Any]) -> SlurmNode:
    return SlurmNode(
        name=row["name"],
        states=tuple(row["state"]),
        reason=row.get("reason", ""),
        extra=row.get("extra", ""),
        comment=row.get("comment", ""),
        features=tuple(row.get("features", ())),
    )


def _job(row: dict[str, Any]) -> SlurmJob:
    state = row["job_state"]
    return SlurmJob(
        id=row["job_id"],
        state=state[0] if isinstance(state, list) else state,  # a list since Slurm 23.11
        user=row["user_name"],
        nodes=row["nodes"],
        requeue=bool(row["requeue"]),
    )
