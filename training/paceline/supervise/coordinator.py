"""The coordinator of a run: hears every node, decides membership, commits checkpoints, ends the run.

Its state is soft. Killed at any moment, its successor learns the generation, the snapshots and the files on their way
from the next reports of the nodes; training does not notice. What it decides is in membership.py, without time or
sockets; here are the time and the sockets.

    python -m paceline.supervise.coordinator JOB_FILE [PARENT_PID [successor]]      (the token is in the environment)

SIGTERM asks the run to stop after the current step, with a last checkpoint; a second one ends it at once.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

import paceline
from paceline.journal.writer import Journal
from paceline.spec.events import (
    ActionDecided,
    FaultClassified,
    FaultDetected,
    GenerationOpened,
    RunFinished,
    RunStarted,
)
from paceline.spec.job import JobSpec
from paceline.spec.names import ENV_RUN_TOKEN
from paceline.supervise.commit import Committer
from paceline.supervise.membership import Fault, NodeView, Waiting, choose_buddies, find_faults, plan_generation
from paceline.supervise.process import die_with_parent
from paceline.supervise.protocol import Address, Assignment, Directive, Failure, NodeStatus, Report
from paceline.supervise.roster import Roster, Wire

Outcome = Literal["completed", "stopped", "failed"]

_PORT_HINT = "another process has this port; end it, or start the run again to get another one"
_VERSIONED = ("torch", "numpy", "safetensors", "tokenizers")
_TICK_SECONDS = 0.05
_SETTLE_SECONDS = 1.0  # a successor first listens to who is there
_FAILURES_WITHOUT_PROGRESS = 3


class Coordinator:
    """One run's coordinator."""

    def __init__(
        self, job: JobSpec, token: str, clock: Callable[[], float] = time.monotonic, *, successor: bool = False
    ) -> None:
        self.job = job
        self._successor = successor
        self.journal = Journal(Path(job.journal), run=job.run, producer="coordinator")
        self._token = token.encode()
        self._clock = clock
        self._roster = Roster(job.timeouts, self.journal, clock)
        self._committer = Committer(job, self.journal)
        self._assignment: Assignment | None = None
        self._reported: set[tuple[int, str]] = set()
        self._started = self._waiting_since = clock()
        self._enough_since: float | None = None
        self._stop_requests = 0
        self._finishing: float | None = None
        self._failures_without_progress = 0
        self._outcome: Outcome | None = None
        self._reason: str | None = None
        self._hint: str | None = None

    async def run(self) -> int:
        """Serve until the run is over; the process's exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.request_stop)
        # who started this process may have blocked it: a wish to stop waits until there is somebody to hear it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        where = (self.job.coordinator_host, self.job.coordinator_port)
        try:
            server = await asyncio.start_server(self._serve, *where, limit=2**24)
        except OSError as error:
            self._end("failed", f"coordinator: cannot listen on {where[0]}:{where[1]}: {error.strerror}", _PORT_HINT)
            return self._close()
        if not self._successor:
            self._emit_started()
        learning = asyncio.create_task(self._learn_what_is_durable())
        while self._outcome is None:
            self.step()
            await asyncio.sleep(_TICK_SECONDS)
        learning.cancel()
        await self._roster.dismiss()
        server.close()  # not waited for: that would be until the last node, or stranger, hangs up
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
                if not hmac.compare_digest(report.token.encode(), self._token):
                    break
                name = report.status.node
                self.hear(report.status, writer)
        except (ConnectionError, ValidationError, ValueError):
            pass  # a broken connection or a stranger: silence is judged by the clock
        finally:
            writer.close()
            if name is not None and self._roster.hang_up(name, writer):
                grace = self.job.timeouts.disconnect_grace
                asyncio.get_running_loop().call_later(grace + 0.001, self.step)

    def hear(self, status: NodeStatus, wire: Wire) -> None:
        """A node reported on `wire`, which leads back to it."""
        self._roster.hear(status, wire)
        followed = status.following
        if followed is not None and (self._assignment is None or followed.generation > self._assignment.generation):
            # a successor learns from the nodes what its predecessor decided
            self._assignment = followed
            self.journal.generation = followed.generation
        self.step()

    def request_stop(self) -> None:
        """Stop after the current step, with a last checkpoint; asked again, stop now."""
        self._stop_requests += 1
        self.step()

    def _tell(self, views: dict[str, NodeView]) -> None:
        buddies = choose_buddies(self._assignment, views) if self._assignment else {}
        for name in self._roster:
            buddy = buddies.get(name)
            directive = Directive(
                assignment=self._assignment,
                buddy=Address(host=buddy.host, port=buddy.peer_port) if buddy else None,
                buddy_node=buddy.node if buddy else None,
                committed_step=self._committer.committed_step,
                stop="drain" if self._stop_requests else None,
            )
            self._roster.tell(name, directive)

    # ----- deciding ------------------------------------------------------------------------------------------------

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended, once it has."""
        return self._outcome

    def step(self) -> None:
        """One look at everything; called on every report and on every tick."""
        if self._outcome is not None:
            return
        if self._stop_requests > 1:
            self._end("stopped", "interrupted")
        elif not self._has_settled:
            return
        elif self._stop_requests and self._assignment is None:
            self._end("stopped", "stopped before training began")
        elif self._committer.knows_durable:
            views = self._roster.views()
            self._roster.note_standing(views, self._assignment)
            self._committer.step(self._roster.statuses())
            if not self._is_over(views):
                self._open_if_needed(views)
            if self._outcome is None:
                self._tell(views)

    @property
    def _has_settled(self) -> bool:
        return self._clock() - self._started >= _SETTLE_SECONDS

    async def _learn_what_is_durable(self) -> None:
        """A run that trains goes on until storage answers; one that cannot know what it has saved does not begin."""
        while not self._committer.knows_durable:
            try:
                await asyncio.to_thread(self._committer.find_durable)
            except Exception as error:  # noqa: BLE001 - whatever storage says, a person must hear it
                if self._has_settled and self._assignment is None:
                    failure = Failure.of(error)
                    self._end("failed", failure.message, failure.hint)
                    return
                await asyncio.sleep(_SETTLE_SECONDS)

    def _open_if_needed(self, views: dict[str, NodeView]) -> None:
        now, cause = self._clock(), "start"
        faults: list[Fault] = []
        if self._assignment is not None:
            found = find_faults(self._assignment, views)
            if isinstance(found, Waiting):
                return
            if not found:
                self._waiting_since = now
                return
            faults = found
            self._report_faults(faults)
            cause = "; ".join(f"{f.fault}: {f.node}" for f in faults)
            if self._stop_requests:
                self._end("stopped", f"stopped while healing ({cause})")
                return
            if self._gave_up(faults):
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
            self._open(planned, lost=tuple(f.node for f in faults if f.fault_class == "node_lost"))
        elif now - self._waiting_since > self.job.timeouts.membership:
            hint = "start it again, with more nodes or spares; it resumes from its last checkpoint"
            self._end("failed", self._why_waiting(planned, views), hint)

    def _is_worth_waiting(self, views: dict[str, NodeView], now: float) -> bool:
        """At the start, whether spares are still warming up: a fault right after it should find them ready."""
        if self._assignment is not None:
            return False
        self._enough_since = self._enough_since or now
        ready = sum(view.present and view.status.ready for view in views.values())
        patience = self.job.timeouts.full_house
        return ready < self.job.nodes + self.job.spares and now - self._enough_since < patience

    def _open(self, assignment: Assignment, *, lost: tuple[str, ...]) -> None:
        previous = self._assignment
        self._assignment, self._finishing = assignment, None
        self._waiting_since = self._clock()
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
        """Whether all workers have ended as they should, and their last checkpoint is durable or on its way."""
        if self._assignment is None:
            return self._cannot_begin(views)
        members = [views[m.node] for m in self._assignment.members if m.node in views]
        workers = [v.status.workers for v in members if v.status.workers is not None]
        ended = [w.state for w in workers if w.generation == self._assignment.generation]
        if len(ended) < len(self._assignment.members) or not set(ended) <= {"completed", "stopped"}:
            return False
        step = min(w.step for w in workers)
        if self._committer.committed_step >= step:
            self._end("stopped" if "stopped" in ended else "completed", None)
            return True
        if not all(v.present for v in members):
            return False  # what was on its way there is lost: the next generation saves it again
        self._finishing = self._finishing or self._clock()
        saving = self._committer.busy or any(v.status.uploading for v in members)
        if not saving or self._clock() - self._finishing > self.job.timeouts.drain:
            refused = next((v.status.upload_failure for v in members if v.status.upload_failure), None)
            why = refused or self._committer.failure
            reason = f"the checkpoint of the last step {step} could not be saved: {why}"
            hint = "make room or mend access there, and start the run again: it resumes from the newest checkpoint"
            self._end("failed", reason, hint)
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

    def _end(self, outcome: Outcome, reason: str | None, hint: str | None = None) -> None:
        self._outcome, self._reason, self._hint = outcome, reason, hint

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
            versions={
                "paceline": paceline.__version__,
                "python": platform.python_version(),
                **{name: version(name) for name in _VERSIONED},
            },
        )

    def _furthest(self) -> int:
        """The last step that the present generation is known to have done, or to have begun from."""
        if self._assignment is None:
            return 0
        workers = [status.workers for status in self._roster.statuses() if status.workers is not None]
        steps = [w.step for w in workers if w.generation == self._assignment.generation]
        return max([*steps, self._assignment.restore.step])

    def _why_waiting(self, waiting: Waiting, views: dict[str, NodeView]) -> str:
        failures = [v.status.failure for v in views.values() if v.status.failure]
        seconds = self.job.timeouts.membership
        because = f"; {failures[0].message}" if failures else ""
        return f"not enough nodes for {seconds:.0f} s: {waiting.reason}{because}"


def main() -> None:
    """Entry of the coordinator's process; see the module's docstring."""
    job_file, *rest = sys.argv[1:]
    if rest:
        die_with_parent(int(rest[0]))
    job = JobSpec.model_validate_json(Path(job_file).read_text(encoding="utf-8"))
    token = os.environ[ENV_RUN_TOKEN]

    async def coordinate() -> int:
        return await Coordinator(job, token, successor="successor" in rest).run()

    code = asyncio.run(coordinate())
    sys.stdout.flush()
    os._exit(code)  # an upload that hangs on a thread must not keep the process


if __name__ == "__main__":
    main()
