"""A fleet of processes on this machine: each directory below a root is a node.

`node.json` says how the node is started (`command`) and which process it is (`pid`, the leader of its own group);
`case.json` and `order.json` are the healer's, `findings.json` and `answer.json` the agent's. A reboot kills the whole
process group and starts it again; a replacement also begins with an empty directory.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paceline.clients.object_store import DirectoryStore
from paceline.heal.fleets.base import Node
from paceline.heal.fleets.notes import parsed, read_answer, read_case, read_findings
from paceline.spec.base import Record
from paceline.spec.errors import ClusterError
from paceline.spec.healing import Case, Order
from paceline.spec.health import Action


class LocalNode(Record):
    """`node.json`. `machine` and `boot` are made up: new at each replacement, and at each start. `born` is when the
    kernel started `pid`, so that no later process of that number is taken for it. `busy` is written by whoever runs
    jobs there."""

    command: tuple[str, ...]
    machine: str
    boot: str
    pid: int
    born: int
    cordoned: bool = False
    busy: bool = False
    untested: bool = False


class LocalFleet:
    """The nodes below `root`. ClusterError when a node cannot be started."""

    capabilities = frozenset((Action.RESET_DEVICE, Action.REBOOT, Action.REPLACE))

    def __init__(self, root: Path) -> None:
        self._root = root
        self._store = DirectoryStore(root)
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: tuple[str, ...]) -> None:
        """Add a node and start it."""
        (self._root / name).mkdir(parents=True)
        machine, boot = secrets.token_hex(4), secrets.token_hex(4)
        pid = self._spawn(name, command)
        self._save(name, LocalNode(command=command, machine=machine, boot=boot, pid=pid, born=_born(pid)))

    def stop(self) -> None:
        """End every node."""
        for name in self._names():
            self._kill(self._load(name))

    def nodes(self) -> list[Node]:
        return [self._node(name) for name in self._names()]

    def write(self, node: str, case: Case | None) -> None:
        self._put(node, "case", case)

    def cordon(self, node: str, reason: str) -> None:
        self._change(node, cordoned=True)

    def drain(self, node: str) -> None:
        self._change(node, busy=False)

    def order(self, node: str, order: Order) -> None:
        for name in (node, *order.peers):
            self._put(name, "order", order)

    def reboot(self, node: Node) -> None:
        record = self._load(node.name)
        if record.boot == node.boot:
            self._restart(node.name, record)

    def replace(self, node: Node) -> None:
        record = self._load(node.name)
        if record.machine != node.machine:
            return
        self._kill(record)
        kept = {"node.json", "case.json"}
        for path in (self._root / node.name).iterdir():
            if path.name not in kept:
                (shutil.rmtree if path.is_dir() else Path.unlink)(path)
        self._restart(node.name, record.model_copy(update={"machine": secrets.token_hex(4)}))

    def readmit(self, node: str) -> None:
        self._put(node, "findings", None)
        self._change(node, cordoned=False, untested=False)

    def resize(self, nodes: int) -> bool:
        return False

    def _node(self, name: str) -> Node:
        record = self._load(name)
        findings, case, answer = (self._get(name, key) for key in ("findings", "case", "answer"))
        dead = not self._is_alive(record)
        return Node(
            name=name,
            machine=record.machine,
            boot=record.boot,
            silent_since=self._died(name, record) if dead else None,
            cordoned=record.cordoned,
            busy=record.busy and not dead,
            untested=record.untested,
            findings=read_findings(name, findings),
            case=read_case(name, case),
            answer=read_answer(answer),
            address="127.0.0.1",
        )

    def _names(self) -> list[str]:
        return sorted(path.parent.name for path in self._root.glob("*/node.json"))

    def _restart(self, name: str, record: LocalNode) -> None:
        self._kill(record)
        pid = self._spawn(name, record.command)
        update = {"boot": secrets.token_hex(4), "pid": pid, "born": _born(pid)}
        self._save(name, record.model_copy(update=update))

    def _spawn(self, name: str, command: tuple[str, ...]) -> int:
        try:
            child = subprocess.Popen(command, cwd=self._root / name, start_new_session=True)
        except OSError as cause:
            raise ClusterError(f"{name}: {command[0]}: {cause.strerror}", "mend `command` in its node.json") from cause
        self._children[child.pid] = child
        return child.pid

    def _kill(self, record: LocalNode) -> None:
        if self._is_alive(record):
            os.killpg(record.pid, signal.SIGKILL)
        if child := self._children.pop(record.pid, None):
            child.wait()

    def _is_alive(self, record: LocalNode) -> bool:
        if child := self._children.get(record.pid):
            return child.poll() is None
        return _born(record.pid) == record.born

    def _died(self, name: str, record: LocalNode) -> datetime:
        """When it was first seen dead: kept in a file, since nobody else remembers."""
        mark = self._root / name / f"dead-{record.boot}"
        if not mark.exists():
            mark.touch()
        return datetime.fromtimestamp(mark.stat().st_mtime, UTC)

    def _change(self, name: str, **update: Any) -> None:
        self._save(name, self._load(name).model_copy(update=update))

    def _load(self, name: str) -> LocalNode:
        return LocalNode.model_validate(json.loads(self._store.get(f"{name}/node.json")))

    def _save(self, name: str, record: LocalNode) -> None:
        self._store.put(f"{name}/node.json", record.model_dump_json().encode())

    def _get(self, name: str, key: str) -> Any:
        try:
            return parsed(self._store.get(f"{name}/{key}.json"))
        except FileNotFoundError:
            return None

    def _put(self, name: str, key: str, record: Record | None) -> None:
        if record is None:
            self._store.delete(f"{name}/{key}.json")
        else:
            self._store.put(f"{name}/{key}.json", record.model_dump_json().encode())


def _born(pid: int) -> int:
    """When the kernel started process `pid`, in its ticks since boot; 0 when there is none that runs."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in ("Z", "X") else int(fields[19])
