from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from paceline.supervise.membership import (
    Fault,
    NodeView,
    Waiting,
    choose_buddies,
    choose_restore,
    find_faults,
    plan_generation,
)
from paceline.supervise.protocol import Assignment, Failure, Restore, WorkersStatus
from tests.unit.training.supervise.nodes import first, opened, shard, view, views


def failed(generation: int, traceback: str | None = None) -> WorkersStatus:
    error = Failure(message="boom", traceback=traceback)
    return WorkersStatus(generation=generation, state="failed", step=3, error=error)


def test_the_first_generation_takes_what_it_needs_and_leaves_spares() -> None:
    assignment = first()
    assert [(m.node, m.first_rank) for m in assignment.members] == [("a", 0), ("b", 1)]
    assert assignment.generation == 0
    assert assignment.restore.source == "nothing"


def test_it_waits_for_enough_ready_nodes() -> None:
    assert opened(views(view("a"), view("b", ready=False))) == Waiting(reason="1 of 2 nodes are ready")


def test_a_spare_takes_the_lost_rank_and_the_survivor_keeps_its_own() -> None:
    shards = (shard(0, 7), shard(1, 7), shard(0, 6), shard(1, 6))
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
    statuses = [view("a", shards=(shard(0, 8), shard(0, 7))).status, view("b", shards=(shard(1, 7),)).status]
    assert choose_restore(None, statuses, None).step == 7


def test_a_newer_durable_checkpoint_beats_older_memory() -> None:
    statuses = [view("a", shards=(shard(0, 7), shard(1, 7))).status]
    assert choose_restore(None, statuses, 20) == Restore(source="manifest", step=20, verified=20)
    assert choose_restore(None, statuses, 7).source == "memory"


def test_a_rank_that_nobody_holds_sends_everyone_to_the_durable_checkpoint() -> None:
    statuses = [view("a", shards=(shard(0, 7),)).status]
    assert choose_restore(None, statuses, 4) == Restore(source="manifest", step=4, verified=4)
    assert choose_restore(None, statuses, None) == Restore(source="nothing")


def test_snapshots_that_a_generation_went_back_behind_are_not_used() -> None:
    went_back = first().model_copy(update={"generation": 1, "restore": Restore(source="memory", step=5)})
    stale = [view("a", shards=(shard(0, 9), shard(1, 9), shard(0, 5), shard(1, 5))).status]
    assert choose_restore(went_back, stale, None).step == 5
    fresh = [view("a", shards=(shard(0, 9, 1), shard(1, 9, 1))).status]
    assert choose_restore(went_back, fresh, None).step == 9


def test_a_lost_node_is_the_cause_and_its_peers_failures_are_not() -> None:
    found = find_faults(first(), views(view("a", workers=failed(0)), view("b", present=False)))
    assert not isinstance(found, Waiting)
    assert [(f.node, f.fault_class) for f in found] == [("b", "node_lost")]


def test_a_worker_that_fails_alone_is_named_with_its_words() -> None:
    found = find_faults(first(), views(view("a"), view("b", workers=failed(0))))
    assert not isinstance(found, Waiting)
    assert [(f.node, f.fault_class, f.evidence) for f in found] == [("b", "worker_failed", "boom")]


def test_an_exception_may_be_all_that_is_felt_of_a_peer_that_was_killed() -> None:
    felt = replace(view("a", workers=failed(0, "lost my peer")), failed_at=1.0, settled=False)
    assert isinstance(find_faults(first(), views(felt, view("b"))), Waiting)
    for peer in (view("b", workers=failed(0)), view("b", present=False)):
        [fault] = found_in(felt, peer)
        assert fault.node == "b"
    [alone] = found_in(replace(felt, settled=True), view("b"))
    assert (alone.node, alone.traceback) == ("a", "lost my peer")


def test_of_exceptions_the_first_is_the_cause() -> None:
    late = replace(view("a", workers=failed(0, "lost my peer")), failed_at=1.1, settled=False)
    early = replace(view("b", workers=failed(0, "a bug")), failed_at=1.0, settled=False)
    assert [fault.node for fault in found_in(late, early)] == ["b"]


def found_in(*items: NodeView) -> list[Fault]:
    found = find_faults(first(), views(*items))
    assert not isinstance(found, Waiting)
    return found


def test_what_comes_from_memory_brings_along_how_far_it_was_verified() -> None:
    """Between two looks of the sentinel a worker is lost: the next generation must not take its state as right."""
    looked = [
        view(name, shards=(shard(rank, 8),), workers=WorkersStatus(generation=0, state="failed", step=8, verified=5))
        for rank, name in enumerate("ab")
    ]
    statuses = [each.status for each in looked]
    restored = choose_restore(first(), statuses, None)
    assert (restored.source, restored.step, restored.verified) == ("memory", 8, 5)
    again = first().model_copy(update={"generation": 1, "restore": restored})
    assert choose_restore(again, statuses, None).verified == 5, "those of generation 1 have not been heard yet"
    assert choose_restore(again, statuses, 7).verified == 7, "what is durable was found right"
    assert choose_restore(again, statuses, None, good_step=5) == Restore(source="nothing")


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
    statuses = [view("z", shards=(shard(0, 9, 0),)).status, view("b", shards=(shard(1, 9, 1), shard(1, 8, 1))).status]
    assert choose_restore(second, statuses, 4) == Restore(source="manifest", step=4, verified=4)


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
    shards=st.lists(st.builds(shard, st.integers(0, 3), st.integers(0, 5), st.integers(0, 2)), max_size=6).map(tuple),
)


@given(st.lists(node_views, max_size=5), st.integers(1, 3), st.integers(1, 2), st.none() | st.integers(0, 6))
def test_every_generation_is_sound(items: list[NodeView], nodes: int, workers: int, durable: int | None) -> None:
    """Ranks are complete and distinct, members are usable, and memory is used only when every rank is held of the world
    that wrote it: here of two ranks, whatever the size of the next."""
    seen = views(*items)
    previous: Assignment | None = None
    for _ in range(2):
        planned = plan_generation(
            sizes=(nodes,), workers_per_node=workers, previous=previous, views=seen, durable_step=durable, cause="x"
        )
        if isinstance(planned, Waiting):
            return
        assert [m.first_rank for m in planned.members] == [i * workers for i in range(nodes)]
        assert len({m.node for m in planned.members}) == nodes
        assert all(seen[m.node].present and seen[m.node].status.ready for m in planned.members)
        assert not any(seen[m.node].suspected for m in planned.members)
        if planned.restore.source == "memory":
            assert [s.rank for s in planned.restore.shards] == [0, 1]
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
    seen = views(view("a", unfit=True, shards=(shard(0, 7), shard(1, 7))), view("b"), view("c"))

    assignment = opened(seen, first())

    assert isinstance(assignment, Assignment)
    assert {source.node for source in assignment.restore.shards} == {"a"}


def test_without_a_spare_an_unfit_node_goes_on_for_as_long_as_it_can() -> None:
    for spare in (view("c", ready=False), view("c", unfit=True), view("c", present=False)):
        seen = views(view("a", unfit=True), view("b"), spare)
        assert find_faults(first(), seen) == []


def test_an_unfit_node_goes_on_until_those_who_stay_can_follow_at_once() -> None:
    """With a standby that still imports the next generation would only wait for it."""
    spare = view("c")
    cold = views(view("a", unfit=True), view("b", ready=False), spare)
    assert find_faults(first(), cold) == []
    assert find_faults(first(), views(view("a", unfit=True, ready=False), view("b"), spare)) != []


def test_an_unfit_node_is_no_spare_and_a_lost_member_goes_first() -> None:
    seen = views(view("a", unfit=True), view("b", present=False), view("c"))

    assignment = opened(seen, first())

    assert isinstance(assignment, Assignment)
    assert [m.node for m in assignment.members] == ["a", "c"]
    assert isinstance(opened(views(view("a"), view("b", present=False), view("c", unfit=True)), first()), Waiting)
