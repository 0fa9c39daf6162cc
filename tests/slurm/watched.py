"""A node with a health agent, whose kernel log the test writes and whose disk it fills."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.slurm.cluster import Cluster
from tests.slurm.hooks import PLANTED, TOOLS
from tests.slurm.run import PACELINE, ours

_XID = "3,2,90000000000,-;NVRM: Xid (PCI:0000:86:00): 79, pid=7, name=train, GPU has fallen off the bus.\n"
_FILES = {
    "proc/uptime": "90000.00 1.00",
    "proc/mounts": "/dev/nvme1n1 /scratch xfs rw,noatime 0 0\n",
    "proc/meminfo": "MemTotal:       2113929216 kB\n",
    "dev/kmsg": "6,1,100,-;Linux\n",
}


class Watched:
    """The agent sees the node's files below `directory` / NODE, and as its local disk what the node has at /var/tmp.
    Without an instance type the node has no accelerators."""

    def __init__(self, cluster: Cluster, node: str, directory: Path, instance_type: str | None = None) -> None:
        self.node = node
        self._cluster, self._root, self._type = cluster, directory / node, instance_type
        self._kernel_log = self._root / "dev" / "kmsg"
        self.begin()

    def begin(self) -> None:
        """What the machine does when it boots."""
        for path, text in _FILES.items():
            (self._root / path).parent.mkdir(parents=True, exist_ok=True)
            (self._root / path).write_text(text)
        disk = self._root / "scratch"
        disk.mkdir(exist_ok=True)
        self._cluster.run("mount", "--bind", "/var/tmp", str(disk), node=self.node)
        name, began = f"agent-{self.node}", self.said.count("kernel-errors")
        what = ["agent", "--root", str(self._root), "--node", self.node]
        what += ["--instance-type", self._type] if self._type else []
        whom = ["--publish", "slurm", "--supervisors", "/run/paceline", "--listen", "127.0.0.1:0"]
        path = f"{TOOLS}:{os.environ['PATH']}"
        self._cluster.start(name, *PACELINE, *what, *whom, node=self.node, **ours(), PATH=path)
        self._cluster.until(lambda: self.said.count("kernel-errors") > began, "the agent has not begun")

    @property
    def said(self) -> str:
        """What its agent has said."""
        return self._cluster.log(f"agent-{self.node}")

    def lose_a_gpu(self) -> float:
        """The time at which the kernel reports XID 79."""
        with self._kernel_log.open("a") as log:
            log.write(_XID)
        return time.time()

    def finds(self, fault: str) -> float:
        """The time at which the agent reports this fault."""
        self._cluster.until(lambda: fault in self.said, f"the agent does not find {fault}")
        return time.time()


def fill_the_disk(cluster: Cluster, node: str) -> None:
    """Until there is no room left."""
    cluster.run("sh", "-c", "cat /dev/zero >/var/tmp/core", node=node, check=False)


def plant(cluster: Cluster, node: str, gpus: str) -> None:
    """How many GPUs the node's nvidia-smi lists from now on, or `hang`."""
    cluster.run("sh", "-c", f"echo {gpus} >{PLANTED}", node=node)
