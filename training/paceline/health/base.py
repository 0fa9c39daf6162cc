"""What a check is, what it sees of a node, and what it may say.

A check looks (`observe`: commands and files, through a `Probe`) and judges (`parse`: pure, from text to symptoms).
What was seen is one text, so that a recorded sample is a file, and replays without the hardware.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from paceline.catalog.instance_types import Family, InstanceType, instance_type
from paceline.spec.base import Record
from paceline.spec.healing import Measurement, Meeting
from paceline.spec.health import Device, Stage


class InconclusiveError(Exception):
    """The check cannot say: a tool is missing, hangs, or prints something new. The finding is `unknown`."""


class Output(Record):
    """What a command printed, and its exit status."""

    code: int
    stdout: str
    stderr: str = ""

    def recorded(self) -> str:
        """As one text that says when it is whole: its last line is the exit status."""
        text = "\n".join(part.rstrip("\n") for part in (self.stdout, self.stderr) if part.strip())
        return f"{text}\nexit {self.code}\n"


def printed(text: str) -> tuple[str, int]:
    """The output and the exit status of a recorded command; InconclusiveError when the record is not whole."""
    body, _, last = text.rstrip("\n").rpartition("\n")
    word, _, code = last.partition(" ")
    if word != "exit" or not code.lstrip("-").isdecimal() or not text.endswith("\n"):
        raise InconclusiveError("the output is not whole")
    return body, int(code)


class Probe(Protocol):
    """How checks reach a node. All of it raises InconclusiveError instead of OSError."""

    async def run(self, *argv: str, timeout: float) -> Output:
        """Run a command, at most `timeout` seconds. One that is missing or does not end in time: InconclusiveError."""
        ...

    def read(self, path: str) -> str:
        """The text of a small file."""
        ...

    def find(self, pattern: str) -> list[str]:
        """The paths that match a glob pattern, sorted."""
        ...

    def kernel_log(self, after: int) -> str:
        """The records of the kernel's ring buffer as /dev/kmsg gives them, one a line, with numbers above `after`."""
        ...

    def space(self, path: str) -> tuple[float, float]:
        """Free space and free inodes of the file system at `path`, in percent."""
        ...


class Node(Record):
    """What should be there. Checks of hardware that a node should not have are not planned on it.

    `shared` are mount points that jobs need; `driver` and `image` what the cluster's nodes should run, `driver_floor`
    the oldest driver under which their container images run, None when nobody said. Counts are None where the catalog
    has no verified number. `meeting` is with whom it is tested, None while it is tested alone.
    """

    name: str
    instance_type: str | None = None
    family: Family | None = None
    accelerators: int | None = None
    efa: int | None = None
    neuron_cores: int | None = None
    memory_gib: int | None = None
    local_disk: bool = False
    shared: tuple[str, ...] = ()
    driver: str | None = None
    driver_floor: str | None = None
    image: str | None = None
    meeting: Meeting | None = None

    @classmethod
    def of(cls, name: str, type_name: str | None, **said: object) -> Node:
        """A node of instance type `type_name`; ParameterError when the catalog has no such type. None: a machine
        without accelerators."""
        if type_name is None:
            return cls.model_validate({"name": name, **said})
        row = instance_type(type_name)
        known = {
            "name": name,
            "instance_type": type_name,
            "family": row.family,
            "accelerators": row.accelerator_count,
            "efa": _wired(row),
            "neuron_cores": row.neuron_cores,
            "memory_gib": row.host_memory_gib,
            "local_disk": bool(row.local_nvme_gb),
        }
        return cls.model_validate({**known, **said})


def _wired(row: InstanceType) -> int | None:
    """How many EFA devices a node of the type has at least, in whichever of the catalog's layouts it was launched."""
    counts = [sum(i.kind == "efa-only" for i in layout.interfaces) for layout in (row.layouts or {}).values()]
    return min(counts) if counts else None


class Symptom(Record):
    """Something a check found wrong: `fault` is a code of the catalog; one that the catalog does not have makes the
    finding `unknown`. `uptime` is when it happened, in seconds after boot; None: it is so now."""

    fault: str
    device: Device | None = None
    evidence: str
    uptime: float | None = None


class Check(ABC):
    """One check. An instance belongs to one node and may remember what it saw before; seconds throughout.

    `period` is how often it runs when continuous, `cost` how long it usually takes, `timeout` when it is given up.
    """

    finds: ClassVar[str]
    stages: ClassVar[frozenset[Stage]]
    period: ClassVar[float] = 60.0
    cost: ClassVar[float] = 0.1
    timeout: ClassVar[float] = 30.0

    @classmethod
    def name(cls) -> str:
        """The module's name, as people type it."""
        return cls.__module__.rpartition(".")[2].replace("_", "-")

    def applies(self, node: Node) -> bool:
        """Whether `node` should have what this check looks at."""
        return True

    @abstractmethod
    async def observe(self, probe: Probe, node: Node) -> str:
        """What there is to see, as one text. InconclusiveError when it cannot be seen."""

    @abstractmethod
    def parse(self, text: str, node: Node) -> list[Symptom]:
        """What is wrong in `text`; empty: all is well. InconclusiveError when the text is not understood."""

    def measure(self, text: str, node: Node) -> list[Measurement]:
        """The speeds that `text` holds, which `parse` has understood, for the healer to compare with the fleet's."""
        return []


# Stages in which a node is looked at without being disturbed, and those in which it is idle anyway.
QUICK = frozenset({Stage.CONTINUOUS, Stage.PROLOG, Stage.EPILOG, Stage.START, Stage.IDLE})
EXCLUSIVE = frozenset({Stage.DEEP})
