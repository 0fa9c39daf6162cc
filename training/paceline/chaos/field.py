"""The field of a chaos run: what can be seen of a run, and what can be done to it, from outside.

Every blow is told to the run's journal just before it falls, as an event of the producer `chaos`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from pydantic import ValidationError

from paceline.chaos.legs import Ground
from paceline.chaos.orders import Order, give
from paceline.chaos.relay import Relay
from paceline.chaos.relayed import RelayedRun
from paceline.chaos.score import Blow
from paceline.checkpoint.repository import CheckpointRepository, step_folder
from paceline.checkpoint.segment import READY, Segment
from paceline.journal.writer import Journal
from paceline.spec.errors import LaunchError
from paceline.spec.events import (
    AnyEvent,
    CheckpointCommitted,
    CheckpointPersisted,
    FaultClassified,
    FaultInjected,
    GenerationOpened,
    RunFinished,
    StepFinished,
)
from paceline.supervise.fork_server import workers
from paceline.supervise.membership import SILENT_CORRUPTION
from paceline.supervise.process import living_members
from paceline.supervise.protocol import NodeStatus, Report

_LOOK_SECONDS = 0.02
_UNDER_WAY_STEPS = 3
_UPLOAD_SECONDS = 0.7
_COMMIT_SECONDS = 10.0  # one that some rank has no file of is never committed
_CHECKPOINTS_SECONDS = 300.0
_STALE_NS = 2_000_000_000
_FULL_DISK_BYTES = 4096  # larger than the words of progress, smaller than any journal


class Field:
    """One run that goes on; `step` is the last that its newest generation has finished. `orders` is where its saboteurs
    look; `storage` leads to the bucket, if there is one."""

    def __init__(
        self,
        local: RelayedRun,
        ground: Ground,
        *,
        journal: Journal,
        orders: Path,
        repository: CheckpointRepository,
        storage: Relay | None,
    ) -> None:
        self.ranks: dict[str, int] = {}
        self.generation = -1
        self.step = 0
        self.events: list[AnyEvent] = []
        self.repository = repository
        self.storage = storage
        self._local = local
        self._ground = ground
        self._journal = journal
        self._orders = orders
        self._convicted: set[str] = set()
        self._persisted_step = self._committed_step = -1
        self._fault = ""
        self._struck: list[str] = []
        self._blows_ns: list[int] = []
        self._before: tuple[int, int, frozenset[str]] = (-1, 0, frozenset())

    # ----- seeing --------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Take in what has happened. LaunchError when the run has ended."""
        for event in self._local.poll():
            self.events.append(event)
            if isinstance(event, GenerationOpened):
                self.ranks, self.generation, self.step = event.ranks, event.generation or 0, event.restore_step
                self._persisted_step = -1  # files of the one before are committed no more
            elif isinstance(event, StepFinished) and event.generation == self.generation:
                self.step = max(self.step, event.step)
            elif isinstance(event, CheckpointPersisted):
                self._persisted_step = max(self._persisted_step, event.step)
            elif isinstance(event, CheckpointCommitted):
                self._committed_step = max(self._committed_step, event.step)
            elif isinstance(event, FaultClassified) and event.fault_class == SILENT_CORRUPTION:
                self._convicted.add(event.target)
            elif isinstance(event, RunFinished):
                raise LaunchError(f"the run {event.outcome}: {event.reason}", event.hint)

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Look on until `condition` holds; False when it does not within `seconds`."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.look()
            time.sleep(_LOOK_SECONDS)
        return True

    def pause(self, seconds: float) -> None:
        """Only look on."""
        self.wait(lambda: False, seconds)

    def opened(self) -> bool:
        """Whether a generation has begun since the first blow."""
        return self.generation > self._before[0]

    def is_whole(self) -> bool:
        """Whether all is as before any fault: every rank trains, every node has its standbys ready."""
        statuses = [self._status(node) for node in self._local.relays]
        known = [status for status in statuses if status is not None]
        return len(known) == len(statuses) and len(self.ranks) == self._ground.nodes and all(map(self._is_well, known))

    def _is_well(self, status: NodeStatus) -> bool:
        following = status.following
        if not status.ready or following is None or following.generation != self.generation:
            return False
        if status.node not in self.ranks:
            return True
        workers = status.workers
        running = workers is not None and workers.generation == self.generation and workers.state == "running"
        return running and workers is not None and workers.step >= following.restore.step + _UNDER_WAY_STEPS

    def _status(self, node: str) -> NodeStatus | None:
        """What `node` last reported, if that is not long ago, nor of before the last blow: a coordinator that was
        struck does not hear any more what is on its way."""
        relay = self._local.relays[node]
        if relay.last_heard_ns < max(time.monotonic_ns() - _STALE_NS, *self._blows_ns, 0):
            return None
        try:
            return Report.model_validate_json(relay.last_line).status
        except ValidationError:  # the beginning of a line went down with an earlier connection
            return None

    def member(self, rng: Random) -> str:
        """A node that trains."""
        return self.members(rng)[0]

    def members(self, rng: Random) -> list[str]:
        """All nodes that train, in an order by chance."""
        return rng.sample(sorted(self.ranks), len(self.ranks))

    # ----- striking ------------------------------------------------------------------------------------------------

    def begin(self, fault: str) -> None:
        """What follows is one trial of the class `fault`."""
        self.look()
        self._fault, self._struck, self._blows_ns, self.events = fault, [], [], []
        self._before = (self.generation, self.step, frozenset(self.ranks))

    def blow(self) -> Blow:
        """What was done since `begin`; one that the run did not live to see falls now."""
        blows = self._blows_ns or [time.monotonic_ns()]
        generation, step, members = self._before
        return Blow(
            struck=frozenset(self._struck),
            first_ns=blows[0],
            last_ns=blows[-1],
            generation=generation,
            step=step,
            members=members,
        )

    def mark(self, target: str) -> None:
        """A blow falls on `target` now."""
        self._struck.append(target)
        self._journal.emit(FaultInjected, fault=self._fault, target=target)
        self._blows_ns.append(time.monotonic_ns())

    def kill_node(self, node: str) -> None:
        """SIGKILL to everything on it."""
        self.mark(node)
        self._local.kill_node(node)

    def kill_supervisor(self, node: str) -> None:
        self.mark(node)
        self._local.nodes[node].kill()

    def kill_coordinator(self) -> None:
        self.mark("coordinator")
        self._local.kill_coordinator()

    def signal_worker(self, node: str, number: signal.Signals) -> None:
        """To the process that trains, not to its standby."""
        self.mark(node)
        os.kill(self._worker(node), number)

    def stop_workers(self, rng: Random) -> None:
        """Have all ranks stand still after two checkpoints, and wait until what they saved is committed. When they are
        lost then, nothing else is newer than the newest checkpoint: no other one, nor what a node that trained before
        still has in its memory."""
        if not self.wait(self._is_saved, _CHECKPOINTS_SECONDS):
            raise LaunchError("the run saves no checkpoints", "see the events of its nodes")
        for node in self.members(rng):
            os.kill(self._worker(node), signal.SIGSTOP)
        self.pause(_UPLOAD_SECONDS)
        self.wait(lambda: self._committed_step >= self._persisted_step, _COMMIT_SECONDS)

    def _is_saved(self) -> bool:
        statuses = (self._status(node) for node in self._local.relays if node not in self.ranks)
        remembered = (shard.step for status in statuses if status is not None for shard in status.held)
        steps = self.repository.steps()
        return len(steps) > 1 and steps[0] > max(remembered, default=-1)

    def damage_checkpoint(self, rng: Random, damage: Callable[[bytearray], None]) -> None:
        """Do `damage` to the content of a file of the newest checkpoint."""
        step = self.repository.steps()[0]
        file = rng.choice(self.repository.manifest(step).files)
        content = self.repository.read(step, file)
        damage(content)
        self.mark(step_folder(step))
        self.repository.store.put(f"{step_folder(step)}/{file.name}", content)

    @contextlib.contextmanager
    def storage_weather(self) -> Iterator[Relay]:
        """The way of all processes to the bucket, for as long as the weather is bad."""
        assert self.storage is not None
        self.mark("storage")
        try:
            yield self.storage
        finally:
            self.storage.release()

    def order(self, node: str, order: Order) -> None:
        """Have the worker of `node` do something to itself before its next step."""
        self.mark(node)
        give(self._orders, self._worker(node), order)

    @contextlib.contextmanager
    def weather(self, *nodes: str) -> Iterator[list[Relay]]:
        """The lines of `nodes` to the coordinator, for as long as the weather is bad."""
        for node in nodes:
            self.mark(node)
        relays = [self._local.relays[node] for node in nodes]
        try:
            yield relays
        finally:
            for relay in relays:
                relay.release()

    @contextlib.contextmanager
    def full_disk(self, node: str) -> Iterator[None]:
        """No file of any process on `node` may grow, as where there is no room (setrlimit(2), RLIMIT_FSIZE)."""
        self.mark(node)
        self._limit_files(node, _FULL_DISK_BYTES)
        try:
            yield
        finally:
            self._limit_files(node, resource.RLIM_INFINITY)

    def damage_snapshots(self, node: str, rng: Random) -> None:
        """Flip a bit in each of the node's own snapshots, in the memory of its supervisor."""
        pid = self._local.nodes[node].pid
        for link in Path(f"/proc/{pid}/fd").iterdir():
            if not str(link.readlink()).startswith(f"/memfd:paceline-{node}-own"):
                continue
            descriptor = os.open(link, os.O_RDWR)
            try:
                segment = Segment(descriptor)
                header = segment.header()
                if header is not None and header.state == READY:
                    segment.body(header.body_bytes)[rng.randrange(header.body_bytes)] ^= 1 << rng.randrange(8)
            finally:
                os.close(descriptor)

    def mend(self) -> None:
        """Start again what is dead, and put another node in the place of one that was convicted and left out: it would
        not be used any more."""
        for node, process in list(self._local.nodes.items()):
            if not living_members(process.pid):
                process.wait()
                self._local.start_node(node)
            elif node in self._convicted and node not in self.ranks:
                self._local.exchange_node(node)

    def _limit_files(self, node: str, most: int) -> None:
        for pid in living_members(self._local.nodes[node].pid):
            with contextlib.suppress(ProcessLookupError):
                _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if most < 0 else most, hard))

    def _worker(self, node: str) -> int:
        """The process that trains on `node`."""
        if not (found := workers(self._local.nodes[node].pid)):
            raise LaunchError(f"{node}: nobody trains there", "see its supervisor.log")
        return found[0]
