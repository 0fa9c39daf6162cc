"""A node supervisor with workers that have no engine, told what to do by a coordinator that is the test."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from paceline.checkpoint.segment import Segment
from paceline.spec.health import Finding, Result, Verdict
from paceline.spec.job import Timeouts
from paceline.spec.manifest import TrainerState
from paceline.spec.names import HEALTH_SOCKET
from paceline.supervise import node as node_module
from paceline.supervise import peer
from paceline.supervise.lease import Lease
from paceline.supervise.lending import Loan
from paceline.supervise.memory import NodeMemory
from paceline.supervise.progress import Phase
from paceline.supervise.protocol import (
    Address,
    Failure,
    Restore,
    ShardSource,
)
from tests.unit.training.supervise.scene import TOKEN, Scene


@contextmanager
def _refusing_then(memory: NodeMemory) -> Iterator[tuple[Address, Callable[[], None]]]:
    """A buddy that turns copies away until it is told to accept them."""
    server = peer.PeerServer("127.0.0.1", memory, "another token")

    def accept() -> None:
        server.token = TOKEN

    try:
        yield Address(host="127.0.0.1", port=server.port), accept
    finally:
        server.close()


def snapshot(segment: Segment, step: int, generation: int = 0, rank: int = 0) -> str:
    trainer = TrainerState(step=step, tokens=step, next_index=step, ledger="0" * 64)
    segment.receive(generation=generation, rank=rank, world_size=2, trainer=trainer, body_bytes=3)[:] = b"abc"
    return segment.finish().digest


def test_a_wish_to_stop_that_comes_with_the_assignment_reaches_the_workers(play: Callable[..., None]) -> None:
    async def act(scene: Scene) -> None:
        await scene.ready()
        scene.tell(assignment=scene.generation(0))
        scene.tell(assignment=scene.generation(0), stop="drain")  # while the standbys are being promoted
        status = await scene.until(lambda s: s.workers is not None and s.workers.state == "stopped")
        assert status.workers is not None and status.workers.generation == 0

    play("trains", act)


def test_how_often_to_persist_reaches_also_workers_that_are_promoted_after_it_was_told(
    play: Callable[..., None],
) -> None:
    async def act(scene: Scene) -> None:
        await scene.ready()
        scene.tell(assignment=scene.generation(0), persist_every=7)
        await scene.until(lambda s: s.workers is not None and s.workers.step == 7)
        await scene.ready()
        scene.tell(assignment=scene.generation(1), persist_every=7)
        await scene.until(lambda s: s.workers is not None and (s.workers.generation, s.workers.step) == (1, 7))

    play("is told", act)


def test_workers_are_looked_at_once_for_each_time_it_is_asked_for(play: Callable[..., None]) -> None:
    async def act(scene: Scene) -> None:
        await scene.ready()
        scene.tell(assignment=scene.generation(0))
        await scene.until(lambda s: s.workers is not None)
        scene.tell(assignment=scene.generation(0), inspect=0)
        first = (await scene.until(lambda s: s.inspection is not None)).inspection
        assert first is not None and [rank.node for rank in first.ranks] == ["node-0"]
        scene.tell(assignment=scene.generation(0), inspect=0, persist_every=7)
        scene.tell(assignment=scene.generation(0))
        await scene.until(lambda s: s.inspection is None)

    play("waits", act)


def test_a_roll_call_ends_the_workers_and_is_answered_at_once(play: Callable[..., None]) -> None:
    """What became of them is told on, and the next standbys are raised."""

    async def act(scene: Scene) -> None:
        await scene.ready()
        scene.tell(assignment=scene.generation(0))
        await scene.until(lambda s: s.workers is not None)
        scene.tell(assignment=scene.generation(0), roll_call=0)
        status = await scene.until(lambda s: s.roll_call == 0)
        assert scene.node._active is None
        assert status.workers is not None and (status.workers.generation, status.workers.state) == (0, "running")
        scene.tell(assignment=scene.generation(1), roll_call=0)
        await scene.until(lambda s: s.workers is not None and s.workers.generation == 1)

    play("waits", act, timeouts=Timeouts(heartbeat_interval=60.0))


def test_a_standby_that_is_killed_is_replaced_and_does_not_convict_its_node(play: Callable[..., None]) -> None:
    async def act(scene: Scene) -> None:
        await scene.ready()
        standby = scene.node._standbys.crew
        assert standby is not None
        os.kill(standby.workers[0].process.pid, signal.SIGKILL)
        await scene.until(lambda s: not s.ready)
        status = await scene.ready()
        assert status.failure is None
        assert scene.node._standbys.crew is not standby

    play("trains", act)


def test_what_the_health_agent_says_is_reported_and_taken_back(play: Callable[..., None], tmp_path: Path) -> None:
    finding = Finding(
        node="node-0",
        check="gpu-xid",
        result=Result.FAIL,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        fault="nvidia.xid.79",
    )

    async def say(line: bytes) -> None:
        _, writer = await asyncio.open_unix_connection(tmp_path / HEALTH_SOCKET)
        writer.write(line)
        writer.close()
        await writer.wait_closed()

    async def act(scene: Scene) -> None:
        await scene.ready()
        await say(Verdict(unfit=finding).model_dump_json().encode() + b"\n")
        assert (await scene.until(lambda s: s.unfit is not None)).unfit == finding
        await say(b"nonsense\n")
        await say(Verdict().model_dump_json().encode() + b"\n")
        await scene.until(lambda s: s.unfit is None)

    play("trains", act)


def test_a_standby_that_cannot_start_says_that_the_node_cannot_serve(play: Callable[..., None]) -> None:
    async def act(scene: Scene) -> None:
        status = await scene.until(lambda s: s.failure is not None)
        assert status.failure is not None and "ended with code 7" in status.failure.message

    play("broken", act)


def test_workers_that_wait_for_a_lost_peer_do_not_keep_the_node_from_the_next_generation(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "_STANDBY_PATIENCE_SECONDS", 0.1)

    async def act(scene: Scene) -> None:
        await scene.ready()
        scene.tell(assignment=scene.generation(0))
        await scene.until(lambda s: s.workers is not None)
        await scene.ready()
        scene.tell(assignment=scene.generation(1))
        await scene.until(lambda s: s.workers is not None and s.workers.generation == 1)

    play("waits", act)


def test_workers_in_their_first_step_are_left_the_processors(play: Callable[..., None]) -> None:
    async def act(scene: Scene) -> None:
        await scene.ready()
        scene.tell(assignment=scene.generation(0))
        await scene.until(lambda s: bool(s.workers and s.workers.ranks[0].phase == Phase.FORWARD_BACKWARD))
        crew = scene.node._active
        assert crew is not None
        scene.node._follow_up(crew)
        raising = scene.node._standbys._raising
        assert raising is not None and raising.done()
        crew.workers[0].progress.write(step=0, phase=Phase.BUILD)
        scene.node._follow_up(crew)
        await scene.ready()

    play("computes", act)


def test_only_a_spare_makes_room(play: Callable[..., None]) -> None:
    def room(scene: Scene) -> int:
        return sum(os.fstat(half.fd).st_size for pair in scene.node.memory.own for half in pair)

    async def act(scene: Scene) -> None:
        await scene.ready()
        scene.tell(assignment=scene.generation(0), room=1_000_000)
        await scene.until(lambda s: s.workers is not None)
        assert room(scene) == 0
        others = scene.generation(1)
        others = others.model_copy(update={"members": (others.members[0].model_copy(update={"node": "b"}),)})
        scene.tell(assignment=others, room=1_000_000)
        async with asyncio.timeout(20):
            while room(scene) < 1_000_000:
                await asyncio.sleep(0.01)

    play("trains", act)


def test_a_state_that_cannot_be_fetched_fails_the_generation_and_keeps_the_standbys(play: Callable[..., None]) -> None:
    async def act(scene: Scene) -> None:
        await scene.ready()
        gone = ShardSource(rank=0, node="b", digest="d", address=Address(host="127.0.0.1", port=1))
        scene.tell(assignment=scene.generation(0, Restore(source="memory", step=7, shards=(gone,))))
        status = await scene.until(lambda s: s.workers is not None)
        assert status.workers is not None and status.workers.state == "failed"
        assert status.workers.error is not None and "restore from memory" in status.workers.error.message
        assert status.ready and status.failure is None
        scene.tell(assignment=scene.generation(1))
        status = await scene.until(lambda s: s.workers is not None and s.workers.state == "running")
        assert status.workers is not None and status.workers.generation == 1

    play("trains", act)


def test_a_generation_that_is_overtaken_while_it_fetches_leaves_the_standbys_to_the_next(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never are two of them writing into the same segments."""
    fetching = asyncio.Event()
    release: list[Callable[[], None]] = []
    alone: list[int] = []

    async def act(scene: Scene) -> None:
        loop, gate = asyncio.get_running_loop(), asyncio.Event()
        release.append(lambda: loop.call_soon_threadsafe(gate.set))

        def slow_fetch(address: Address, rank: int, step: int, digest: str, into: Segment, token: str) -> None:
            alone.append(step)
            loop.call_soon_threadsafe(fetching.set)
            if step == 7:
                asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(20)
            assert alone[-1] == step
            snapshot(into, step)

        monkeypatch.setattr(peer, "fetch", slow_fetch)
        await scene.ready()
        source = ShardSource(rank=0, node="b", digest="d", address=Address(host="127.0.0.1", port=1))
        scene.tell(assignment=scene.generation(0, Restore(source="memory", step=7, shards=(source,))))
        await fetching.wait()
        scene.tell(assignment=scene.generation(1, Restore(source="memory", step=6, shards=(source,))))
        status = await scene.until(lambda s: s.following is not None and s.following.generation == 1)
        assert status.workers is None, "nothing of generation 0 may be reported as of generation 1"
        assert alone == [7]
        release[0]()
        status = await scene.until(lambda s: s.workers is not None)
        assert status.workers is not None and (status.workers.generation, status.workers.step) == (1, 6)
        assert alone == [7, 6]
        assert [s.step for s in status.held] == [6]

    play("trains", act)


def test_what_was_said_safe_in_an_old_generation_is_not_in_the_next(play: Callable[..., None]) -> None:
    """The worker waits until its own snapshot of step 1 has a copy, whatever became of the old generation's."""

    async def act(scene: Scene) -> None:
        await scene.ready()
        buddy = NodeMemory("buddy", 1)
        with _refusing_then(buddy) as (address, accept):
            scene.tell(assignment=scene.generation(0), buddy=address, buddy_node="buddy")
            await scene.until(lambda s: bool(s.held))
            scene.node._standbys.raise_soon()
            await scene.ready()
            scene.tell(assignment=scene.generation(1), buddy=address, buddy_node="buddy")
            await scene.until(lambda s: any(h.generation == 1 for h in s.held))
            active = scene.node._active
            assert active is not None and active.step == 0
            accept()
            await scene.until(lambda s: s.workers is not None and s.workers.step == 1)
            assert (1, 1) in {(h.step, h.generation) for h in buddy.held()}

    play("snapshots", act)


def test_a_copy_that_fails_is_tried_again_until_the_trainer_may_go_on(play: Callable[..., None]) -> None:
    async def act(scene: Scene) -> None:
        await scene.ready()
        buddy = NodeMemory("buddy", 1)
        with _refusing_then(buddy) as (address, accept):
            scene.tell(assignment=scene.generation(0), buddy=address, buddy_node="buddy")
            status = await scene.until(lambda s: bool(s.held))
            assert status.workers is not None and status.workers.step == 0
            accept()
            await scene.until(lambda s: s.workers is not None and s.workers.step == 1)

    play("snapshots", act)


def test_a_supervisor_that_was_started_again_does_not_take_its_predecessors_place(play: Callable[..., None]) -> None:
    async def act(scene: Scene) -> None:
        await scene.ready()
        scene.tell(assignment=scene.generation(3, member=False))
        status = await scene.until(lambda s: s.following is not None)
        assert status.ready and status.workers is None

    play("trains", act)


def test_a_node_that_no_coordinator_hears_stops_training_and_goes_on_when_one_does(play: Callable[..., None]) -> None:
    """The coordinator is there, but what the node says does not arrive."""

    async def act(scene: Scene) -> None:
        await scene.ready()
        scene.tell(assignment=scene.generation(0))
        await scene.until(lambda s: s.workers is not None)
        crew = scene.node._active
        assert crew is not None
        scene.deaf = True
        async with asyncio.timeout(20):
            while scene.node._active is not None:
                await asyncio.sleep(0.01)
        await crew.workers[0].process.wait()
        assert not scene.node.status().ready, "it is not to be given a place that it could not take"
        scene.deaf = False
        status = await scene.until(lambda s: s.workers is not None and s.workers.state == "failed")
        assert status.workers is not None and status.workers.error is not None
        assert "no coordinator heard this node" in status.workers.error.message
        await scene.ready()

    play("waits", act, timeouts=Timeouts(node_lost=0.5, lease=1.0))


def test_a_spare_that_is_lent_begins_when_nothing_of_its_borrower_is_left(
    play: Callable[..., None], tmp_path: Path
) -> None:
    log = tmp_path / "lent.log"

    async def act(scene: Scene) -> None:
        await scene.ready()
        mine = scene.generation(0)
        others = mine.model_copy(update={"members": (mine.members[0].model_copy(update={"node": "b"}),)})
        scene.tell(assignment=others)
        async with asyncio.timeout(20):
            while not log.is_file() or not log.read_text().endswith("\n"):
                await asyncio.sleep(0.01)
        borrower = int(log.read_text())
        os.kill(borrower, 0)
        scene.tell(assignment=scene.generation(1))
        await scene.until(lambda s: s.workers is not None and s.workers.generation == 1)
        with pytest.raises(ProcessLookupError):
            os.kill(borrower, 0)

    play("waits", act, lend=("sh", "-c", "trap '' TERM; echo $$; while :; do sleep 0.1; done"))


def test_a_spare_whose_borrower_does_not_end_says_that_it_cannot_serve(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def occupied(loan: Loan, *, grace: float = 0.0) -> Failure:
        return Failure(message="a driver hangs")

    monkeypatch.setattr(Loan, "reclaim", occupied)

    async def act(scene: Scene) -> None:
        await scene.ready()
        scene.tell(assignment=scene.generation(0))
        status = await scene.until(lambda s: s.failure is not None)
        assert status.failure is not None and status.failure.message == "a driver hangs"
        assert status.workers is not None and status.workers.state == "failed"
        assert scene.node._active is None

    play("waits", act)


def test_a_lease_runs_from_when_the_report_was_sent_not_from_when_the_answer_came() -> None:
    now = 100.0
    lease = Lease(20.0, now=lambda: now)
    now = 115.0
    lease.renew(103.0)
    lease.renew(101.0)
    assert lease.left == 8.0
    now = 125.0
    assert lease.left < 0
