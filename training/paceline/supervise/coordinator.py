"""The coordinator of a run: hears every node, decides membership, commits checkpoints, ends the run.

Its state is soft. Killed at any moment, its successor learns the generation, the snapshots and the files on their way
from the next reports of the nodes; training does not notice. What it decides is in membership.py, without time or
sockets; here are the time and the sockets.

    python -m paceline.supervise.coordinator JOB_FILE      (the run's token is in the environment)

SIGTERM asks the run to stop after the current step, with a last checkpoint; a second one ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from paceline.journal.writer import Journal
from paceline.spec.events import (
    ActionDecided,
    FaultClassified,
    FaultDetected,
    GenerationOpened,
    MembershipChanged,
    RunFinished,
    RunStarted,
)
from paceline.spec.job import JobSpec
from paceline.spec.names import ENV_RUN_TOKEN
from paceline.supervise.commit import Committer
from paceline.supervise.membership import Fault, NodeView, Waiting, choose_buddies, find_faults, plan_generation
from paceline.supervise.process import die_with_parent
from paceline.supervise.protocol import Address, Assignment, Directive, NodeStatus, Report

Outcome = Literal["completed", "stopped", "failed"]

_PORT_HINT = "another process has this port; end it, or start the run again to get another one"
_TICK_SECONDS = 0.05
_SETTLE_SECONDS = 1.0  # a successor first listens to who is there
_FAILURES_WITHOUT_PROGRESS = 3


@dataclass
class _Node:
    """What is known of one node, and the way to reach it."""

    status: NodeStatus
    heard: float
    writer: asyncio.StreamWriter | None
    closed: float | None = None
    standing: str = "joined"


class Coordinator:
    """One run's coordinator."""

    def __init__(self, job: JobSpec, token: str) -> None:
        self.job = job
        self._token = token
        self.journal = Journal(Path(job.journal), run=job.run, producer="coordinator")
        self._nodes: dict[str, _Node] = {}
        self._assignment: Assignment | None = None
        self._reported: set[tuple[int, str]] = set()
        self._faults: list[Fault] = []
        self._committer = Committer(job, self.journal)
        self._durable: asyncio.Task[int | None] | None = None
        self._started = self._waiting_since = asyncio.get_running_loop().time()
        self._enough_since: float | None = None
        self._stop_requests = 0
        self._finishing: float | None = None
        self._failures_without_progress = 0
        self._outcome: Outcome | None = None
        self._reason: str | None = None
        self._hint: str | None = None
        self._sent: dict[str, Directive] = {}

    async def run(self) -> int:
        """Serve until the run is over; the process's exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._request_stop)
        where = (self.job.coordinator_host, self.job.coordinator_port)
        try:
            server = await asyncio.start_server(self._serve, *where, limit=2**24)
        except OSError as error:
            self._end("failed", f"coordinator: cannot listen on {where[0]}:{where[1]}: {error.strerror}", _PORT_HINT)
            return self._close()
        self._durable = asyncio.create_task(asyncio.to_thread(self._committer.newest_durable))
        async with server:
            while self._outcome is None:
                self._step()
                await asyncio.sleep(_TICK_SECONDS)
            await self._dismiss()
        return self._close()

    def _close(self) -> int:
        self.journal.emit(
            RunFinished, outcome=self._outcome, step=self._furthest(), reason=self._reason, hint=self._hint
        )
        self.journal.close()
        return 1 if self._outcome == "failed" else 0

    # ----- talking to nodes ----------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = None
        try:
            async for line in reader:
                report = Report.model_validate_json(line)
                if not hmac.compare_digest(report.token, self._token):
                    break
                name = report.status.node
                self._hear(report.status, writer)
        except (ConnectionError, ValidationError, ValueError):
            pass  # a broken connection or a stranger: silence is judged by the clock
        finally:
            writer.close()
            node = self._nodes.get(name) if name is not None else None
            if node is not None and node.writer is writer:
                loop = asyncio.get_running_loop()
                node.writer, node.closed = None, loop.time()
                loop.call_later(self.job.timeouts.disconnect_grace + 0.001, self._step)

    def _hear(self, status: NodeStatus, writer: asyncio.StreamWriter) -> None:
        now = asyncio.get_running_loop().time()
        node = self._nodes.get(status.node)
        if node is None:
            node = self._nodes[status.node] = _Node(status=status, heard=now, writer=writer)
            self.journal.emit(MembershipChanged, node=status.node, state="joined", reason="first report")
            self._sent.pop(status.node, None)
        if node.writer is not writer:
            self._sent.pop(status.node, None)
        node.status, node.heard, node.writer, node.closed = status, now, writer, None
        followed = status.following
        if followed is not None and (self._assignment is None or followed.generation > self._assignment.generation):
            # a successor learns from the nodes what its predecessor decided
            self._assignment = followed
            self.journal.generation = followed.generation
        self._step()

    def _view(self) -> dict[str, NodeView]:
        now, timeouts = asyncio.get_running_loop().time(), self.job.timeouts
        views = {}
        for name, node in self._nodes.items():
            grace_over = node.closed is not None and now - node.closed > timeouts.disconnect_grace
            silent = now - node.heard > timeouts.node_lost
            views[name] = NodeView(
                status=node.status,
                present=not (grace_over or silent),
                suspected=node.closed is not None and not grace_over,
            )
        return views

    def _tell(self, views: dict[str, NodeView]) -> None:
        buddies = choose_buddies(self._assignment, views) if self._assignment else {}
        draining = self._stop_requests > 0
        for name, node in self._nodes.items():
            buddy = buddies.get(name)
            directive = Directive(
                assignment=self._assignment,
                buddy=Address(host=buddy.host, port=buddy.peer_port) if buddy else None,
                buddy_node=buddy.node if buddy else None,
                committed_step=self._committer.committed_step,
                stop="drain" if draining else None,
            )
            self._send(name, node, directive)

    def _send(self, name: str, node: _Node, directive: Directive) -> None:
        if node.writer is not None and not node.writer.is_closing() and self._sent.get(name) != directive:
            node.writer.write(directive.model_dump_json().encode() + b"\n")
            self._sent[name] = directive

    # ----- deciding ------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        """One look at everything; called on every report and on every tick."""
        if self._outcome is not None or self._durable is None or not self._durable.done():
            return
        views = self._view()
        self._note_standing(views)
        self._committer.step([v.status for v in views.values()])
        if self._stop_requests > 1:
            self._end("stopped", "interrupted")
            return
        if self._is_over(views):
            return
        self._open_if_needed(views)
        self._tell(views)

    def _open_if_needed(self, views: dict[str, NodeView]) -> None:
        now = asyncio.get_running_loop().time()
        cause = "start"
        if self._assignment is not None:
            if now - self._started < _SETTLE_SECONDS:
                return
            found = find_faults(self._assignment, views)
            if isinstance(found, Waiting):
                return
            if not found:
                self._waiting_since = now
                return
            self._report_faults(found)
            cause = "; ".join(f"{f.fault}: {f.node}" for f in found)
            if self._stop_requests:
                self._end("stopped", f"stopped while healing ({cause})")
                return
            if self._gave_up(found):
                return
        elif self._stop_requests:
            self._end("stopped", "stopped before training began")
            return
        planned = plan_generation(
            nodes=self.job.nodes,
            workers_per_node=self.job.workers_per_node,
            previous=self._assignment,
            first_generation=self.job.first_generation,
            views=views,
            durable_step=self._committer.durable_step,
            cause=cause,
        )
        if isinstance(planned, Assignment):
            if self._is_worth_waiting(views, now):
                return
            self._open(planned)
        elif now - self._waiting_since > self.job.timeouts.membership:
            hint = "start more nodes, or raise timeouts.membership; the run resumes from its last checkpoint"
            self._end("failed", self._why_waiting(planned, views), hint)

    def _is_worth_waiting(self, views: dict[str, NodeView], now: float) -> bool:
        """At the start, whether spares are still warming up: a fault right after it should find them ready."""
        if self._assignment is not None:
            return False
        self._enough_since = self._enough_since or now
        ready = sum(view.present and view.status.ready for view in views.values())
        patience = self.job.timeouts.full_house
        return ready < self.job.nodes + self.job.spares and now - self._enough_since < patience

    def _open(self, assignment: Assignment) -> None:
        first = self._assignment is None
        previous = self._assignment
        if first:
            self._emit_started()
        lost = tuple(f.node for f in self._faults if f.fault_class == "node_lost")
        self._assignment, self._faults = assignment, []
        self._waiting_since = asyncio.get_running_loop().time()
        self.journal.generation = assignment.generation
        if previous is not None:
            joining = {m.node for m in assignment.members} - {m.node for m in previous.members}
            target = ", ".join(sorted(joining)) or ", ".join(m.node for m in assignment.members)
            action = "promote spare" if joining else "restart workers"
            self.journal.emit(ActionDecided, action=action, target=target, reason=assignment.cause)
        self.journal.emit(
            GenerationOpened,
            ranks={m.node: m.first_rank for m in assignment.members},
            world_size=assignment.world_size,
            cause=assignment.cause,
            lost_nodes=lost,
            restore_from=assignment.restore.source,
            restore_step=assignment.restore.step,
        )

    def _report_faults(self, faults: list[Fault]) -> None:
        assert self._assignment is not None
        generation = self._assignment.generation
        new = [fault for fault in faults if (generation, fault.node) not in self._reported]
        for fault in new:
            self.journal.emit(FaultDetected, fault=fault.fault, target=fault.node, evidence=fault.evidence)
            self.journal.emit(FaultClassified, fault=fault.fault, target=fault.node, fault_class=fault.fault_class)
        if new and generation not in {known for known, _ in self._reported}:
            progressed = self._furthest() > self._assignment.restore.step
            by_workers = all(fault.fault_class == "worker_failed" for fault in new)
            self._failures_without_progress += 1
            if progressed or not by_workers:
                self._failures_without_progress = 0
        self._reported |= {(generation, fault.node) for fault in new}
        self._faults += new

    def _gave_up(self, faults: list[Fault]) -> bool:
        """A failure that comes back at the same step is a bug, not bad luck: restarting it for ever helps nobody."""
        if self._failures_without_progress < _FAILURES_WITHOUT_PROGRESS:
            return False
        last = faults[-1]
        times = _FAILURES_WITHOUT_PROGRESS
        hint = "this is no bad luck; see the node's workers.log, mend the cause, and start the run again: it resumes"
        self._end("failed", f"{last.node}: failed {times} times at the same step: {last.evidence}", hint)
        return True

    def _is_over(self, views: dict[str, NodeView]) -> bool:
        """Whether all workers have ended as they should, and their last checkpoint is durable."""
        if self._assignment is None:
            return self._cannot_begin(views)
        statuses = [views[m.node].status for m in self._assignment.members if m.node in views]
        workers = [s.workers for s in statuses if s.workers is not None]
        ended = [w.state for w in workers if w.generation == self._assignment.generation]
        if len(ended) < len(self._assignment.members) or not set(ended) <= {"completed", "stopped"}:
            return False
        now = asyncio.get_running_loop().time()
        self._finishing = self._finishing or now
        step = min(w.step for w in workers)
        uploading = any(s.uploading for s in statuses) or self._committer.busy
        if self._committer.committed_step < step:
            if (uploading or self._committer.pending(step)) and now - self._finishing < self.job.timeouts.drain:
                self._tell(views)
                return True
            reason = f"the checkpoint of the last step {step} could not be saved: {self._committer.failure}"
            hint = "make room or mend access there, and start the run again: it resumes from the newest checkpoint"
            self._end("failed", reason, hint)
            return True
        self._end("stopped" if "stopped" in ended else "completed", None)
        return True

    def _cannot_begin(self, views: dict[str, NodeView]) -> bool:
        """Whether every node has reported, and too few of them can ever serve."""
        failures = [v.status.failure for v in views.values() if v.status.failure]
        everybody = len(views) >= self.job.nodes + self.job.spares
        if not failures or not everybody or len(views) - len(failures) >= self.job.nodes:
            return False
        self._end("failed", failures[0].message, failures[0].hint)
        return True

    # ----- beginning and end ---------------------------------------------------------------------------------------

    def _request_stop(self) -> None:
        self._stop_requests += 1
        self._step()

    def _end(self, outcome: Outcome, reason: str | None, hint: str | None = None) -> None:
        self._outcome, self._reason, self._hint = outcome, reason, hint

    async def _dismiss(self) -> None:
        """Send everybody home and give the messages a moment to leave."""
        for name, node in self._nodes.items():
            self._send(name, node, Directive(stop="leave"))
        for node in self._nodes.values():
            if node.writer is not None:
                with contextlib.suppress(ConnectionError, TimeoutError):
                    await asyncio.wait_for(node.writer.drain(), 1.0)
        await asyncio.sleep(0.1)

    def _emit_started(self) -> None:
        recipe = self.job.recipe
        self.journal.emit(
            RunStarted,
            recipe=recipe["name"],
            recipe_sha256=self.job.recipe_sha256,
            nodes=self.job.nodes,
            spares=self.job.spares,
            world_size=self.job.world_size,
            total_steps=recipe["schedule"]["steps"],
            tokens_per_step=recipe["batch"]["tokens"],
            seed=recipe["seed"],
            dataset=self.job.dataset,
        )

    def _note_standing(self, views: dict[str, NodeView]) -> None:
        members = {m.node for m in self._assignment.members} if self._assignment else set()
        for name, view in views.items():
            if not view.present:
                standing, reason = "lost", "its connection closed" if self._nodes[name].closed else "it fell silent"
            elif self._assignment is None:
                continue
            else:
                standing, reason = ("active", "member") if name in members else ("spare", "not needed now")
            if self._nodes[name].standing != standing:
                self._nodes[name].standing = standing
                self.journal.emit(MembershipChanged, node=name, state=standing, reason=reason)

    def _furthest(self) -> int:
        steps = [n.status.workers.step for n in self._nodes.values() if n.status.workers is not None]
        return max([*steps, self._assignment.restore.step if self._assignment else 0])

    def _why_waiting(self, waiting: Waiting, views: dict[str, NodeView]) -> str:
        failures = [v.status.failure for v in views.values() if v.status.failure]
        seconds = self.job.timeouts.membership
        because = f"; {failures[0].message}" if failures else ""
        return f"not enough nodes for {seconds:.0f} s: {waiting.reason}{because}"


def main() -> None:
    """Entry of the coordinator's process; see the module's docstring."""
    job_file, *parent = sys.argv[1:]
    if parent:
        die_with_parent(int(parent[0]))
    job = JobSpec.model_validate_json(Path(job_file).read_text(encoding="utf-8"))
    token = os.environ[ENV_RUN_TOKEN]

    async def coordinate() -> int:
        return await Coordinator(job, token).run()

    code = asyncio.run(coordinate())
    sys.stdout.flush()
    os._exit(code)  # an upload that hangs on a thread must not keep the process


if __name__ == "__main__":
    main()
