"""A real Slurm cluster, made on the spot: slurmctld, slurmdbd on MariaDB, munge, and a slurmd for each node.

Debian's packages are unpacked under `.slurm/` and laid over this machine's /usr in a mount namespace of their own, so
nothing is installed. Every node has its own network, host name and process tree: to kill it ends all that runs on it,
to cut its cable leaves it running where nobody hears it. Everything ends with this process, however that ends: the
first process inside reads from a pipe that only this one holds, and the kernel ends the rest with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.slurm.files import node_name, write_files
from tests.slurm.hooks import PLANTED
from tools.images.debian import UnavailableError, unpack

# The first whose Slurm speaks JSON in `scontrol show`. Newer than the machine's C library may be: it is unpacked too.
_SUITE = "trixie"
_PACKAGES = ("munge", "slurm-wlm", "slurmdbd", "mariadb-server")
_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld")
_START_SECONDS = 90.0
_POLL_SECONDS = 0.1


@dataclass(slots=True)
class Cluster:
    """`place` is a directory that every node sees, `nodes` their names. `shell` is the process that everything else
    stands on."""

    place: Path
    nodes: tuple[str, ...]
    shell: int
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def run(self, *command: str, node: str | None = None, check: bool = True) -> str:
        """What a command prints on the controller's machine, or on a node."""
        done = subprocess.run(
            self.inside(command, node),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment(),
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.returncode}: {done.stderr}{done.stdout}")
        return done.stdout

    def start(self, name: str, *command: str, node: str | None = None, **environment: str) -> subprocess.Popen[bytes]:
        """A process that goes on, by this name; its words are in `log/NAME.out`."""
        with (self.place / "log" / f"{name}.out").open("ab") as output:
            process = subprocess.Popen(
                self.inside(command, node),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**self.environment(), **environment},
                start_new_session=True,
            )
        self.daemons[name] = process
        return process

    def stop(self, name: str) -> None:
        """End a process that was started by this name, and wait for it."""
        process = self.daemons.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # nsenter, and what it has started
        process.wait(20)

    def inside(self, command: Sequence[str], node: str | None = None) -> list[str]:
        """The command that runs `command` on the controller's machine, or on a node."""
        target = self.shell if node is None else self._pid(node)
        return ["nsenter", "--target", str(target), "--mount", "--net", "--uts", "--pid", *command]

    def environment(self) -> Mapping[str, str]:
        """Where Slurm's programs find their cluster."""
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "PYTEST_"))}
        return {**keep, "SLURM_CONF": str(self.place / "etc" / "slurm.conf")}

    def log(self, name: str) -> str:
        """What a process said."""
        path = self.place / "log" / f"{name}.out"
        return path.read_text(errors="replace") if path.exists() else ""

    # ----- nodes ---------------------------------------------------------------------------------------------------

    def boot(self, node: str) -> None:
        """Power on: an empty machine on the network, with a slurmd."""
        number = self.nodes.index(node) + 1
        machine = ["unshare", "--net", "--uts", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
        self.start(node, *machine, "sh", str(_HERE / "node.sh"), str(self.place), node, str(number))
        pid_file = self.place / "pid" / f"{node}.machine"
        self.until(lambda: pid_file.exists() and self._machine(node) is not None, f"{node} has not booted")
        wire = f"v{number}"
        # with this machine's /proc: there the node's first process has the number that we know
        link = ["ip", "link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", str(self._pid(node))]
        subprocess.run(["nsenter", "--target", str(self.shell), "--net", *link], check=True)
        self.run("ip", "link", "set", wire, "master", "br0", "up")
        (self.place / "pid" / f"{node}.wired").touch()

    def kill(self, node: str) -> None:
        """The machine is gone, with everything on it, from one moment to the next."""
        os.killpg(self.daemons[node].pid, signal.SIGKILL)
        self._off(node)

    def reboots(self, node: str) -> None:
        """Wait until the machine goes off, as Slurm has told it, and power it on again."""
        self.until(lambda: self.daemons[node].poll() is not None, f"{node} does not reboot")
        self._off(node)
        self.boot(node)

    def cut(self, node: str) -> None:
        """Pull its cable."""
        self.run("ip", "link", "set", f"v{self.nodes.index(node) + 1}", "down")

    def mend(self, node: str) -> None:
        """Put the cable back."""
        self.run("ip", "link", "set", f"v{self.nodes.index(node) + 1}", "up")

    def restore(self) -> None:
        """Every node on, on the network, and idle; no job left."""
        self.run("scancel", "--user=root", check=False)
        for name in set(self.daemons) - {*self.nodes, *_DAEMONS}:
            self.stop(name)
        for item in self.show("reservations")["reservations"]:
            self.run("scontrol", "delete", f"reservation={item['name']}")
        self.until(lambda: all(self._is_on(node) for node in self.nodes), "the nodes do not come up")
        for node in self.nodes:
            self.run("scontrol", "update", f"nodename={node}", "extra=", "comment=")
        self.until(
            lambda: all(self._is_on(node) and self._returned(node) for node in self.nodes),
            "the nodes do not become idle",
        )

    def _is_on(self, node: str) -> bool:
        """On, on the network, and as it was made; a reboot that was ordered before may still turn it off."""
        if node in self.daemons and self.daemons[node].poll() is not None:
            self._off(node)
        if node not in self.daemons:
            self.boot(node)
        self.mend(node)
        if self._machine(node) is None:
            return False
        return self.run("sh", "-c", f"rm -f {PLANTED} && echo clean", node=node, check=False) == "clean\n"

    def _returned(self, node: str) -> bool:
        state = self.states()[node]
        if state.rstrip("*") in ("down", "drain", "drng"):
            self.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        return state == "idle"

    # ----- what Slurm says -----------------------------------------------------------------------------------------

    def states(self) -> dict[str, str]:
        """Of every node, as sinfo shows it: idle, alloc, drain, down*, ..."""
        lines = self.run("sinfo", "--noheader", "--Node", "--format=%N %t").splitlines()
        return dict(line.split() for line in lines)

    def job_state(self, job: int) -> str:
        """Of one job: PENDING, RUNNING, ..."""
        return self.run("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T", check=False).strip()

    def show(self, *what: str) -> dict[str, Any]:
        """`scontrol show ... --json`"""
        return dict(json.loads(self.run("scontrol", "show", *what, "--json")))

    def until(self, done: Callable[[], object], otherwise: str, seconds: float = _START_SECONDS) -> None:
        """Wait for it; AssertionError with the last words of slurmctld when it takes too long."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise AssertionError(f"{otherwise}\n{self.log('slurmctld')[-2000:]}")
            time.sleep(_POLL_SECONDS)

    def _off(self, node: str) -> None:
        self.daemons.pop(node).wait()
        for name in ("machine", "wired"):
            (self.place / "pid" / f"{node}.{name}").unlink(missing_ok=True)

    def _pid(self, node: str) -> int:
        pid = self._machine(node)
        assert pid is not None, f"{node} is off"
        return pid

    def _machine(self, node: str) -> int | None:
        """The first process of a node, as this process knows it."""
        outer = self.daemons[node].pid
        for _ in range(3):  # nsenter forks into the namespace, unshare forks the first process of the next
            children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
            if not children:
                return None
            outer = int(children[0])
            if Path(f"/proc/{outer}/comm").read_text().strip() in ("sh", "slurmd"):
                return outer
        return None


@contextmanager
def cluster(nodes: int) -> Iterator[Cluster]:
    """A cluster whose nodes are idle. Raises UnavailableError, with the reason, where none can be had."""
    if os.geteuid() != 0:
        raise UnavailableError("only root can make a Slurm cluster on the spot")
    packages = _packages()
    with tempfile.TemporaryDirectory(prefix="paceline-slurm-") as scratch:
        place = Path(scratch)
        names = tuple(node_name(index + 1) for index in range(nodes))
        write_files(place, names, password=secrets.token_hex(16))
        command = ["unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command += ["--propagation", "private", "sh", str(_HERE / "ground.sh"), str(place), str(packages)]
        with (place / "log" / "ground.out").open("wb") as output:
            ground = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
            )
        assert ground.stdin is not None
        try:
            made = Cluster(place=place, nodes=names, shell=0)
            made.until(lambda: (place / "pid" / "ground").exists() or ground.poll() is not None, "no namespaces")
            if ground.poll() is not None:
                raise UnavailableError(f"namespaces: {made.log('ground').strip()}")
            made.shell = int(Path(f"/proc/{ground.pid}/task/{ground.pid}/children").read_text().split()[0])
            _bring_up(made)
            yield made
        finally:
            ground.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                ground.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(ground.pid, signal.SIGKILL)
            ground.wait()


def _bring_up(made: Cluster) -> None:
    try:
        made.start("munged", "munged", "--foreground", "--force", *_munge_files(made.place))
        made.start("mariadbd", "sh", str(_HERE / "database.sh"), str(made.place))
        made.until(lambda: (made.place / "pid" / "database").exists(), "the database does not answer")
        made.start("slurmdbd", "slurmdbd", "-D", SLURM_CONF=str(made.place / "etc" / "slurm.conf"))
        made.until(lambda: "paceline" in _registered(made), "slurmdbd does not answer")
        made.start("slurmctld", "slurmctld", "-D")
        made.until(lambda: "UP" in made.run("scontrol", "ping", check=False), "slurmctld does not answer")
        for node in made.nodes:
            made.boot(node)
        made.until(lambda: set(made.states().values()) == {"idle"}, "the nodes do not become idle")
    except AssertionError as error:
        words = {name: made.log(name)[-500:] for name in made.daemons}
        raise UnavailableError(f"{error}\n{words}") from error


def _registered(made: Cluster) -> str:
    """The clusters that slurmdbd knows, after it was told of ours."""
    made.run("sacctmgr", "--immediate", "--quiet", "add", "cluster", "paceline", check=False)
    return made.run("sacctmgr", "--noheader", "list", "cluster", check=False)


def _munge_files(place: Path) -> list[str]:
    return [
        f"--key-file={place / 'munge' / 'munge.key'}",
        f"--log-file={place / 'munge' / 'munged.log'}",
        f"--pid-file={place / 'munge' / 'munged.pid'}",
        f"--seed-file={place / 'munge' / 'munged.seed'}",
        "--socket=/run/munge/munge.socket.2",
    ]


def _packages() -> Path:
    """The root of Debian's packages and all that this machine lacks for them."""
    for program, package in (("nsenter", "util-linux"), ("ip", "iproute2")):
        if shutil.which(program) is None:
            raise UnavailableError(f"no {program} (package {package})")
    root = unpack(_SUITE, _PACKAGES, _ROOT / ".slurm", complete=True)
    for program in (root / "usr" / "sbin").glob("*-wlm"):  # Debian links them when a package is installed
        link = program.with_name(program.name.removesuffix("-wlm"))
        if not link.is_symlink():
            link.symlink_to(program.name)
    return root
