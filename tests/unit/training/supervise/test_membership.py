from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from paceline.spec.health import Finding, Result
from paceline.supervise.membership import (
    NodeView,
    Waiting,
    choose_buddies,
    choose_restore,
    find_faults,
    plan_generation,
)
from paceline.supervise.protocol import Assignment, Failure, HeldShard, NodeStatus, Restore, WorkersStatus


def held(rank: int, step: int, generation: int = 0) -> HeldShard:
    return HeldShard(rank=rank, step=step, generation=generation, bytes=1, digest=f"{rank}/{step}")


def fallen_off_the_bus(node: str) -> Finding:
    return Finding(
        node=node,
        check="gpu-xid",
        result=Result.FAIL,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        fault="nvidia.xid.79",
        evidence="GPU has fallen off the bus",
    )


def view(
    node: str,
    *,
    ready: bool = True,
    present: bool = True,
    suspected: bool = False,
    shards: tuple[HeldShard, ...] = (),
    workers: WorkersStatus | None = None,
    peer_port: int = 1,
    unfit: bool = False,
) -> NodeView:
    status = NodeStatus(
        node=node,
        host="127.0.0.1",
        process_group=1,
        peer_port=peer_port,
        store_port=2,
        ready=ready,
        held=shards,
        workers=workers,
        unfit=fallen_off_the_bus(node) if unfit else None,
    )
    return NodeView(status=status, present=present, suspected=suspected)


def views(*items: NodeView) -> dict[str, NodeView]:
    return {item.status.node: item for item in items}


def opened(
    seen: dict[str, NodeView], previous: Assignment | None = None, durable: int | None = None, workers: int = 1
) -> Assignment | Waiting:
    return plan_generation(
        nodes=2, workers_per_node=workers, previous=previous, views=seen, durable_step=durable, cause="test"
    )


def first() -> Assignment:
    assignment = opened(views(view("a"), view("b"), view("c")))
    assert isinstance(assignment, Assignment)
    return assignment


def failed(generation: int) -> WorkersStatus:
    return WorkersStatus(generation=generation, state="failed", step=3, error=Failure(message="boom"))


def test_the_first_generation_takes_what_it_needs_and_leaves_spares() -> None:
    assignment = first()
    assert [(m.node, m.first_rank) for m in assignment.members] == [("a", 0), ("b", 1)]
    assert assignment.generation == 0
    assert assignment.restore.source == "nothing"


def test_it_waits_for_enough_ready_nodes() -> None:
    assert opened(views(view("a"), view("b", ready=False))) == Waiting(reason="1 of 2 nodes are ready")


def test_a_spare_takes_the_lost_rank_and_the_survivor_keeps_its_own() -> None:
    shards = (held(0, 7), held(1, 7), held(0, 6), held(1, 6))
    assignment = opened(views(view("b", shards=shards), view("c"), view("a", present=False)), first())
    assert isinstance(assignment, Assignment)
    assert [(m.node, m.first_rank) for m in assignment.members] == [("c", 0), ("b", 1)]
    assert assignment.generation == 1
    assert (assignment.restore.source, assignment.restore.step) == ("memory", 7)
    assert {s.rank: s.node for s in assignment.restore.shards} == {0: "b", 1: "b"}


def test_it_waits_for_a_survivor_to_raise_standbys() -> None:
    planned = opened(views(view("a", ready=False), view("c"), view("b", present=False)), first())
    assert planned == Waiting(reason="standbys of a are not ready")


def test_several_workers_a_node_get_consecutive_ranks() -> None:
    assignment = opened(views(view("a"), view("b")), workers=4)
    assert isinstance(assignment, Assignment)
    assert [m.first_rank for m in assignment.members] == [0, 4]
    assert assignment.world_size == 8


def test_the_newest_whole_step_wins_not_the_newest_step() -> None:
    statuses = [view("a", shards=(held(0, 8), held(0, 7))).status, view("b", shards=(held(1, 7),)).status]
    assert choose_restore(2, None, statuses, None).step == 7


def test_a_newer_durable_checkpoint_beats_older_memory() -> None:
    statuses = [view("a", shards=(held(0, 7), held(1, 7))).status]
    assert choose_restore(2, None, statuses, 20) == Restore(source="manifest", step=20)
    assert choose_restore(2, None, statuses, 7).source == "memory"


def test_a_rank_that_nobody_holds_sends_everyone_to_the_durable_checkpoint() -> None:
    statuses = [view("a", shards=(held(0, 7),)).status]
    assert choose_restore(2, None, statuses, 4) == Restore(source="manifest", step=4)
    assert choose_restore(2, None, statuses, None) == Restore(source="nothing")


def test_snapshots_that_a_generation_went_back_behind_are_not_used() -> None:
    went_back = first().model_copy(update={"generation": 1, "restore": Restore(source="memory", step=5)})
    stale = [view("a", shards=(held(0, 9), held(1, 9), held(0, 5), held(1, 5))).status]
    assert choose_restore(2, went_back, stale, None).step == 5
    fresh = [view("a", shards=(held(0, 9, 1), held(1, 9, 1))).status]
    assert choose_restore(2, went_back, fresh, None).step == 9


def test_a_lost_node_is_the_cause_and_its_peers_failures_are_not() -> None:
    found = find_faults(first(), views(view("a", workers=failed(0)), view("b", present=False)))
    assert not isinstance(found, Waiting)
    assert [(f.node, f.fault_class) for f in found] == [("b", "node_lost")]


def test_a_worker_that_fails_alone_is_named_with_its_words() -> None:
    found = find_faults(first(), views(view("a"), view("b", workers=failed(0))))
    assert not isinstance(found, Waiting)
    assert [(f.node, f.fault_class, f.evidence) for f in found] == [("b", "worker_failed", "boom")]


def test_failures_of_an_older_generation_do_not_count() -> None:
    second = first().model_copy(update={"generation": 1})
    assert find_faults(second, views(view("a"), view("b", workers=failed(0)))) == []


def test_nothing_is_decided_about_a_node_that_may_come_back() -> None:
    assert isinstance(find_faults(first(), views(view("a"), view("b", suspected=True))), Waiting)


def test_a_broken_connection_that_a_peer_confirms_is_a_lost_node() -> None:
    found = find_faults(first(), views(view("a", workers=failed(0)), view("b", suspected=True)))
    assert not isinstance(found, Waiting)
    assert [(f.node, f.fault_class) for f in found] == [("b", "node_lost")]


def test_a_supervisor_that_was_started_again_is_another_one() -> None:
    """It has neither workers nor memory, and nobody would ever miss it: it reports as if nothing had happened."""
    seen = views(view("a"), view("b", peer_port=9), view("c"))
    found = find_faults(first(), seen)
    assert not isinstance(found, Waiting)
    assert [(f.node, f.fault_class) for f in found] == [("b", "node_lost")]
    planned = opened(seen, first())
    assert isinstance(planned, Assignment)
    assert planned.members[1].node == "b" and planned.members[1].peer_port == 9


def test_snapshots_of_two_generations_never_make_one_state() -> None:
    """Node z, away since generation 0, comes back with its step 9; generation 1 has run step 9 again since."""
    second = first().model_copy(update={"generation": 2, "restore": Restore(source="memory", step=9)})
    statuses = [view("z", shards=(held(0, 9, 0),)).status, view("b", shards=(held(1, 9, 1), held(1, 8, 1))).status]
    assert choose_restore(2, second, statuses, 4) == Restore(source="manifest", step=4)


def test_a_suspected_buddy_is_not_given_up() -> None:
    ring = choose_buddies(first(), views(view("a"), view("b", suspected=True)))
    assert ring["a"].node == "b"
    assert choose_buddies(first(), views(view("a"), view("b", present=False))) == {}


def test_buddies_form_a_ring_and_a_lone_node_uses_a_spare() -> None:
    ring = choose_buddies(first(), views(view("a"), view("b"), view("c")))
    assert {node: buddy.node for node, buddy in ring.items()} == {"a": "b", "b": "a"}
    alone = first().model_copy(update={"members": first().members[:1]})
    assert {n: b.node for n, b in choose_buddies(alone, views(view("a"), view("c"))).items()} == {"a": "c"}
    assert choose_buddies(alone, views(view("a"))) == {}


node_views = st.builds(
    view,
    st.sampled_from("abcde"),
    ready=st.booleans(),
    present=st.booleans(),
    suspected=st.booleans(),
    shards=st.lists(st.builds(held, st.integers(0, 3), st.integers(0, 5), st.integers(0, 2)), max_size=6).map(tuple),
)


@given(st.lists(node_views, max_size=5), st.integers(1, 3), st.integers(1, 2), st.none() | st.integers(0, 6))
def test_every_generation_is_sound(items: list[NodeView], nodes: int, workers: int, durable: int | None) -> None:
    """Ranks are complete and distinct, members are usable, and memory is used only when every rank is held."""
    seen = views(*items)
    previous: Assignment | None = None
    for _ in range(2):
        planned = plan_generation(
            nodes=nodes, workers_per_node=workers, previous=previous, views=seen, durable_step=durable, cause="x"
        )
        if isinstance(planned, Waiting):
            return
        assert [m.first_rank for m in planned.members] == [i * workers for i in range(nodes)]
        assert len({m.node for m in planned.members}) == nodes
        assert all(seen[m.node].present and seen[m.node].status.ready for m in planned.members)
        assert not any(seen[m.node].suspected for m in planned.members)
        if planned.restore.source == "memory":
            assert [s.rank for s in planned.restore.shards] == list(range(nodes * workers))
            assert planned.restore.step >= (durable or 0)
        if previous is not None:
            assert planned.generation == previous.generation + 1
            assert [m.node for m in planned.members] == [m.node for m in previous.members]
        previous = planned


def test_a_node_that_its_agent_calls_unfit_gives_its_place_to_a_spare() -> None:
    seen = views(view("a", unfit=True), view("b"), view("c"))

    [fault] = find_faults(first(), seen)
    assignment = opened(seen, first())

    assert (fault.node, fault.fault, fault.fault_class) == ("a", "nvidia.xid.79", "node_unfit")
    assert isinstance(assignment, Assignment)
    assert [m.node for m in assignment.members] == ["c", "b"]


def test_the_memory_of_an_unfit_node_still_serves() -> None:
    seen = views(view("a", unfit=True, shards=(held(0, 7), held(1, 7))), view("b"), view("c"))

    assignment = opened(seen, first())

    assert isinstance(assignment, Assignment)
    assert {source.node for source in assignment.restore.shards} == {"a"}


def test_without_a_spare_an_unfit_node_goes_on_for_as_long_as_it_can() -> None:
    for spare in (view("c", ready=False), view("c", unfit=True), view("c", present=False)):
        seen = views(view("a", unfit=True), view("b"), spare)
        assert find_faults(first(), seen) == []


def test_an_unfit_node_is_no_spare_and_a_lost_member_goes_first() -> None:
    seen = views(view("a", unfit=True), view("b", present=False), view("c"))

    assignment = opened(seen, first())

    assert isinstance(assignment, Assignment)
    assert [m.node for m in assignment.members] == ["a", "c"]
    assert isinstance(opened(views(view("a"), view("b", present=False), view("c", unfit=True)), first()), Waiting)
