"""A worker without an engine, forked by the real server. What it does is named by BEHAVIOUR in the environment."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from paceline.spec.manifest import TrainerState
from paceline.supervise.flight_record import GroupRecord
from paceline.supervise.link import SupervisorLink, WorkerLaunch
from paceline.supervise.progress import Phase


def preload(job_file: Path) -> None:
    """It needs nothing."""


def main(launch: WorkerLaunch) -> None:
    """Do what BEHAVIOUR says."""
    behaviour = os.environ["BEHAVIOUR"]
    if behaviour == "broken":
        os._exit(7)
    link = SupervisorLink(launch)
    promotion = link.wait_for_promotion()
    link.examine = lambda: (GroupRecord(group="0", description="default_pg", entered=promotion.restore_step),)
    if behaviour == "fails":
        link.failed(ValueError("boom"))
        os._exit(1)
    step = promotion.restore_step
    if behaviour == "snapshots":
        step += 1
        trainer = TrainerState(step=step, tokens=step, next_index=step, ledger="0" * 64)
        segment = link.segments[0]
        segment.receive(
            generation=promotion.generation,
            rank=promotion.rank,
            world_size=promotion.world_size,
            trainer=trainer,
            body_bytes=3,
        )[:] = b"abc"
        segment.finish()
        link.snapshot_ready(0, step, persist=False)
        link.wait_until_safe(step)
        link.step_done(step, verified=step)
    if behaviour == "finishes":
        link.finished(stopped=False)
        link.failed(ValueError("while cleaning up"))
        os._exit(1)
    if behaviour == "is told":
        while link.persist_every is None:
            time.sleep(0.01)
        link.step_done(link.persist_every, verified=0)
    if behaviour == "computes":
        link.progress.write(step=step, phase=Phase.FORWARD_BACKWARD)
    if behaviour == "waits":
        link.step_done(step, verified=step)
        signal.pause()  # as for a peer that never comes
    while not link.stop_requested:
        time.sleep(0.01)
    link.finished(stopped=True)
    os._exit(0)
