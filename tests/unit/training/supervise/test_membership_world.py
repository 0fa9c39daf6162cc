"""Which world a generation has, and who is whose buddy in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from paceline.supervise.membership import (
    NodeView,
    Waiting,
    choose_buddies,
    choose_restore,
    plan_generation,
    wanted_change,
)
from paceline.supervise.protocol import Assignment, HeldShard, Member, Restore
from tests.unit.training.supervise.nodes import first, opened, shard, view, views


def grown(*names: str) -> Assignment:
    """A generation over these nodes, one rank each."""
    planned = plan_generation(
        sizes=(len(names),),
        workers_per_node=1,
        previous=None,
        views=views(*(view(name) for name in names)),
        durable_step=None,
        cause="start",
    )
    assert isinstance(planned, Assignment)
    return planned


def planned(
    previous: Assignment, seen: dict[str, NodeView], sizes: tuple[int, ...], avoid: frozenset[str] = frozenset()
) -> Assignment | Waiting:
    return plan_generation(
        sizes=sizes, workers_per_node=1, previous=previous, views=seen, durable_step=None, cause="x", avoid=avoid
    )


def ranks(assignment: Assignment | Waiting) -> dict[str, int]:
    assert isinstance(assignment, Assignment)
    return {m.node: m.first_rank for m in assignment.members}


def whole(world: int, step: int) -> tuple[HeldShard, ...]:
    return tuple(shard(rank, step).model_copy(update={"world_size": world}) for rank in range(world))


def test_without_a_spare_it_shrinks_to_the_largest_legal_world_and_keeps_the_state() -> None:
    seen = views(view("a", shards=whole(4, 7)), view("b", present=False), view("c"), view("d"))
    shrunk = planned(grown("a", "b", "c", "d"), seen, sizes=(4, 2))
    assert ranks(shrunk) == {"a": 0, "c": 1}
    assert isinstance(shrunk, Assignment)
    assert (shrunk.restore.source, shrunk.restore.step, len(shrunk.restore.shards)) == ("memory", 7, 4)


def test_it_does_not_shrink_while_a_spare_is_coming_or_below_what_is_legal() -> None:
    four = grown("a", "b", "c", "d")
    seen = views(view("a"), view("b", present=False), view("c"), view("d"), view("e", ready=False))
    assert planned(four, seen, sizes=(4, 2)) == Waiting(reason="3 of 4 nodes are ready")
    alone = views(view("a"), *(view(name, present=False) for name in "bcd"))
    assert planned(four, alone, sizes=(4, 2)) == Waiting(reason="1 of 4 nodes are ready")


def test_a_run_does_not_begin_smaller_than_it_was_asked_for() -> None:
    beginning = plan_generation(
        sizes=(2, 1), workers_per_node=1, previous=None, views=views(view("a")), durable_step=None, cause="start"
    )
    assert isinstance(beginning, Waiting)


def test_it_wants_to_grow_when_enough_nodes_are_ready() -> None:
    two = grown("a", "c")
    seen = views(view("a"), view("c"), view("d"))
    assert wanted_change(two, seen, (4, 2), ()) is None
    seen |= views(view("e"))
    assert wanted_change(two, seen, (4, 2), ()) == "grow to 4 nodes"
    assert wanted_change(two, seen, (4, 2), ("e",)) is None
    assert ranks(planned(two, seen, sizes=(4, 2))) == {"a": 0, "c": 1, "d": 2, "e": 3}


def test_a_node_that_leaves_is_replaced_and_its_memory_still_used() -> None:
    going = view("b", shards=whole(2, 7))
    seen = views(view("a"), view("c"), NodeView(status=going.status.model_copy(update={"leaving": True}), present=True))
    assert wanted_change(first(), seen, (2,), ()) == "hand over: b leaves"
    handed = opened(seen, first())
    assert ranks(handed) == {"a": 0, "c": 1}
    assert isinstance(handed, Assignment) and {s.node for s in handed.restore.shards} == {"b"}


def test_an_offender_is_left_out_when_there_is_another_and_used_when_there_is_none() -> None:
    seen = views(view("a"), view("b"), view("c"))
    assert ranks(planned(first(), seen, sizes=(2, 1), avoid=frozenset("b"))) == {"a": 0, "c": 1}
    two = views(view("a"), view("b"))
    assert ranks(planned(first(), two, sizes=(2, 1), avoid=frozenset("b"))) == {"a": 0, "b": 1}


def test_a_state_is_whole_only_with_all_ranks_of_the_world_that_wrote_it() -> None:
    statuses = [view("a", shards=whole(4, 7)[:2]).status, view("b", shards=whole(2, 5)).status]
    assert choose_restore(None, statuses, None).step == 5


def members_of(*names: str) -> Assignment:
    members = tuple(
        Member(node=name, first_rank=rank, host="127.0.0.1", peer_port=1, store_port=2)
        for rank, name in enumerate(names)
    )
    nothing = Restore(source="nothing")
    return Assignment(generation=0, members=members, workers_per_node=1, restore=nothing, cause="test")


def test_a_rack_takes_no_snapshot_with_it() -> None:
    seen = views(*(view(name, domain=rack) for name, rack in zip("abcd", "xxyy", strict=True)))
    ring = {node: buddy.node for node, buddy in choose_buddies(members_of(*"abcd"), seen).items()}
    assert ring == {"a": "c", "b": "d", "c": "a", "d": "b"}


@given(st.lists(st.sampled_from([None, "x", "y", "z"]), min_size=2, max_size=12))
def test_buddies_are_of_two_domains_and_everybody_keeps_the_copies_of_one(racks: list[str | None]) -> None:
    names = [f"n{number:02d}" for number in range(len(racks))]
    seen = views(*(view(name, domain=rack) for name, rack in zip(names, racks, strict=True)))
    ring = {node: buddy.node for node, buddy in choose_buddies(members_of(*names), seen).items()}
    assert sorted(ring) == sorted(ring.values()) == names
    assert all(node != buddy for node, buddy in ring.items())
    rack_of = dict(zip(names, racks, strict=True))
    if all(racks.count(rack) <= len(racks) / 2 for rack in "xyz"):
        assert all(rack_of[node] is None or rack_of[node] != rack_of[buddy] for node, buddy in ring.items())
