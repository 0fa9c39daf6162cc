"""What a check finds, what it means, and what may be done: the words that checks, agent and healer share."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum

from pydantic import Field

from paceline.spec.base import Record


class Stage(StrEnum):
    """When a check may run: the less of a node it may disturb, the more often."""

    CONTINUOUS = "continuous"  # beside a job, within the agent's budget
    PROLOG = "prolog"  # before a job, seconds
    EPILOG = "epilog"  # after a job that failed
    START = "start"  # a node that joins
    IDLE = "idle"  # a node without a job; ends when one comes
    DEEP = "deep"  # exclusive, minutes to hours
    MULTI_NODE = "multi_node"  # exclusive, several nodes at once


class Result(StrEnum):
    """`unknown` is a tool that is missing, hangs or prints something new: it alarms, it never heals."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"


class FaultClass(StrEnum):
    """What a fault says about the node: the row of the catalog decides, not the check."""

    HEALTHY = "healthy"  # informational
    APPLICATION = "application"  # the job's own doing
    DEVICE = "device"  # one accelerator
    FABRIC = "fabric"  # links between accelerators or nodes
    HOST = "host"  # CPU, memory, kernel, PCIe, local disk
    ENVIRONMENT = "environment"  # power, heat, what the provider announces
    STORAGE = "storage"  # a shared file system
    SOFTWARE = "software"  # driver, runtime, image


class Action(IntEnum):
    """What may be done about a fault, in the order of what it costs. Escalation goes down this list."""

    NONE = 0
    OBSERVE = 1  # count it; a rule on repetition may act
    RESTART_JOB = 2  # a new generation on the same nodes
    RESET_DEVICE = 3
    REBOOT = 4
    REPLACE = 5  # give the machine back and take another
    ISOLATE = 6  # keep it out, and call a person

    @property
    def takes_node(self) -> bool:
        """Whether the node leaves the job for it."""
        return self >= Action.RESET_DEVICE


class Device(Record):
    """The part of a node that a finding is about. `serial` outlives reboots: it is how a board that comes back is
    recognised."""

    kind: str  # gpu, neuron, nic, disk, memory, ...
    index: int | None = None
    serial: str | None = None


class Finding(Record):
    """What one check says about one node, or one device of it, at one time.

    `fault` is a code of the fault catalog (`nvidia.xid.79`, `efa.rx_drops`), None unless the result is `fail`.
    `evidence` is what the tool printed, as it printed it; `time` is UTC.
    """

    node: str
    check: str
    result: Result
    time: datetime
    fault: str | None = None
    device: Device | None = None
    evidence: str = Field(default="", max_length=4096)


class Verdict(Record):
    """What the health agent tells the supervisor on its node, again whenever it changes: the finding because of which
    the node should leave its job, None while it may stay."""

    unfit: Finding | None = None


class Fault(Record):
    """A row of the fault catalog. `action` is what the maker of the part says to do (None: he says nothing, so it is
    counted and shown, never acted upon), `escalation` what to do when it comes back after that; `others` is what other
    tools do, for whoever wants to override it; `boards` are those that can report it, empty if that is not known;
    `pattern` is the regular expression by which the message that announces it is known, where it has one."""

    code: str
    name: str
    description: str
    fault_class: FaultClass
    action: Action | None
    escalation: Action | None
    sources: tuple[str, ...]
    others: dict[str, str] = Field(default_factory=dict)
    boards: tuple[str, ...] = ()
    pattern: str | None = None
