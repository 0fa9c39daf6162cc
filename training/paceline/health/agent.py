"""The node agent: runs the continuous checks all day, within a budget, and tells whoever should know.

Each check has its own rhythm and its own time-out, and never runs twice at once; one that hangs delays nobody. What
the agent and its commands spend is measured every minute: over the budget, all rhythms but the kernel log's are
stretched until it holds.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from paceline.catalog.faults import fault
from paceline.health.base import Check, Node, Probe
from paceline.health.bookmark import Bookmark
from paceline.health.examine import examine
from paceline.health.exporter import Measured, Measurements, cpu_seconds
from paceline.health.kmsg import KernelCheck
from paceline.health.publish.base import Publisher
from paceline.health.registry import plan
from paceline.health.standing import Standing, worst
from paceline.journal.writer import Journal
from paceline.spec.errors import ClusterError
from paceline.spec.events import FaultClassified, FaultDetected
from paceline.spec.health import Finding, Stage

CPU_BUDGET = 0.005  # of one core
_STAGGER_SECONDS = 0.3
_MINUTE = 60.0
_MAX_STRETCH = 16.0


class Agent:
    """The agent of `node`. SIGTERM ends it. SIGHUP says that the node was repaired: what happened before is
    forgotten."""

    def __init__(
        self,
        node: Node,
        probe: Probe,
        publishers: Sequence[Publisher],
        *,
        journal: Journal | None = None,
        bookmark: Bookmark | None = None,
    ) -> None:
        self.node = node
        self.measurements = Measurements(node=node.name)
        self.standing = Standing()
        self.checks = plan(Stage.CONTINUOUS, node)
        self._probe, self._publishers = probe, publishers
        self._journal, self._bookmark = journal, bookmark
        self._kernel = [check for check in self.checks if isinstance(check, KernelCheck)]
        self._news = asyncio.Event()
        self._left = asyncio.Event()

    async def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._left.set)
        loop.add_signal_handler(signal.SIGHUP, self._repaired)
        if self._bookmark is not None and (record := self._bookmark.read()) is not None:
            for check in self._kernel:
                check.seen = record
        async with asyncio.TaskGroup() as group:
            work = [group.create_task(self._repeat(check, turn)) for turn, check in enumerate(self.checks)]
            work += [group.create_task(self._tell(publisher)) for publisher in self._publishers]
            work.append(group.create_task(self._keep_house()))
            await self._left.wait()
            for task in work:
                task.cancel()
        self._mark()

    async def look(self, check: Check) -> list[Finding]:
        """Run one check now and note what it says."""
        began = time.monotonic()
        findings = await examine(check, self._probe, self.node)
        seconds = time.monotonic() - began
        self.measurements.checks[check.name()] = Measured(worst(findings)[0], seconds, time.time())
        news = self.standing.take(check.name(), findings, happened=isinstance(check, KernelCheck))
        for finding in news:
            self._report(finding)
        if news:
            self._changed()
        return findings

    def _report(self, finding: Finding) -> None:
        if finding.fault is None:
            return
        self.measurements.findings[finding.fault] += 1
        row = fault(finding.fault)
        print(f"{finding.time:%H:%M:%S} {finding.fault}: {finding.evidence}", file=sys.stderr)  # noqa: T201
        if self._journal is not None:
            target = self.node.name
            if finding.device is not None and finding.device.index is not None:
                target += f"/{finding.device.kind}-{finding.device.index}"
            self._journal.emit(FaultDetected, fault=row.code, target=target, evidence=finding.evidence)
            self._journal.emit(FaultClassified, fault=row.code, target=target, fault_class=row.fault_class)

    def _repaired(self) -> None:
        if self.standing.forget():
            self._changed()

    def _changed(self) -> None:
        self.measurements.unfit = self.standing.unfit() is not None
        self._news.set()
        self._news = asyncio.Event()

    async def _repeat(self, check: Check, turn: int) -> None:
        await asyncio.sleep(turn * _STAGGER_SECONDS)  # not all at once
        while True:
            await self.look(check)
            stretch = 1.0 if isinstance(check, KernelCheck) else self.measurements.stretch
            await asyncio.sleep(check.period * stretch)

    async def _tell(self, publisher: Publisher) -> None:
        """Whenever something changes, and every minute: who was not there, or has forgotten, hears it then."""
        refused = ""
        while True:
            news = self._news
            try:
                await publisher.publish(self.standing)
                refused = ""
            except (ClusterError, OSError, TimeoutError) as error:
                if str(error) != refused:
                    print(f"{publisher.name}: {error}", file=sys.stderr)  # noqa: T201
                refused = str(error)
            try:
                await asyncio.wait_for(news.wait(), _MINUTE)
            except TimeoutError:
                pass

    async def _keep_house(self) -> None:
        spent = cpu_seconds()
        while True:
            await asyncio.sleep(_MINUTE)
            if self.standing.expire(datetime.now(UTC)):
                self._changed()
            self._mark()
            now = cpu_seconds()
            self.measurements.stretch = stretched(self.measurements.stretch, (now - spent) / _MINUTE)
            spent = now

    def _mark(self) -> None:
        if self._bookmark is not None and self._kernel:
            try:
                self._bookmark.write(min(check.seen for check in self._kernel))
            except OSError as error:
                print(f"the last kernel record cannot be remembered: {error}", file=sys.stderr)  # noqa: T201
                self._bookmark = None


def stretched(now: float, share: float) -> float:
    """The next factor for all periods, after a minute in which the agent took `share` of one core."""
    if share > CPU_BUDGET:
        return min(_MAX_STRETCH, now * 2)
    # twice as many checks would still be within the budget
    return max(1.0, now / 2) if share * 2 < CPU_BUDGET else now
