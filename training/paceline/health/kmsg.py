"""Checks that read the kernel log: what is new in it since they last looked.

The format of a record is `level,sequence,microseconds since boot,flags;message` (Linux
Documentation/ABI/testing/dev-kmsg); lines that begin with a blank belong to the record before.
"""

from __future__ import annotations

import re
from abc import abstractmethod

from paceline.catalog.checks import limit
from paceline.health.base import QUICK, Check, InconclusiveError, Node, Probe, Symptom
from paceline.spec.base import Record
from paceline.spec.health import Device

_RECORD = re.compile(r"\d+,(\d+),(\d+),[^;]*;(.*)")


class Message(Record):
    """One record: its number, its time in seconds after boot, its text."""

    sequence: int
    uptime: float
    text: str


def messages(text: str) -> list[Message]:
    """The records in `text`; InconclusiveError when there is text, and none in it."""
    found = [
        Message(sequence=int(match[1]), uptime=int(match[2]) / 1e6, text=match[3])
        for line in text.splitlines()
        if (match := _RECORD.fullmatch(line))
    ]
    if text.strip() and not found:
        raise InconclusiveError("the kernel log is in an unknown format")
    return found


class KernelCheck(Check):
    """What every check of the kernel log has in common. The first look goes back as far as the catalog says."""

    stages = QUICK
    period = 1.0

    def __init__(self) -> None:
        self.seen = -1

    async def observe(self, probe: Probe, node: Node) -> str:
        """The records that are new, raw."""
        first = self.seen < 0
        since = float(probe.read("/proc/uptime").split()[0]) - limit("kernel_lookback_s") if first else 0.0
        log = probe.kernel_log(self.seen)
        records = [(line, match) for line in log.splitlines() if (match := _RECORD.fullmatch(line))]
        if records:
            self.seen = int(records[-1][1][1])
        return "".join(f"{line}\n" for line, match in records if int(match[2]) / 1e6 >= since)

    def parse(self, text: str, node: Node) -> list[Symptom]:
        """A symptom for each record that means one."""
        found = []
        for message in messages(text):
            if (judged := self.judge(message.text)) is not None:
                fault, device = judged
                found.append(Symptom(fault=fault, device=device, evidence=message.text, uptime=message.uptime))
        return found

    @abstractmethod
    def judge(self, text: str) -> tuple[str, Device | None] | None:
        """The fault that a message announces, and the device it names; None: nothing to tell."""
