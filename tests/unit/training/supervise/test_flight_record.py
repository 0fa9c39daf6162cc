"""Who has not come, by flight recorders: those of two ranks on gloo that hung on purpose, six entries each.

Rank 0 waits in the third collective of all ranks. Rank 1 sleeps (absent), waits for a message (message), has called
another collective (mismatch), or the same one in another group (crossed).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from paceline.supervise.flight_record import Collective, GroupRecord, digest, keep
from paceline.supervise.meeting import name_ranks
from paceline.supervise.progress import Phase
from paceline.supervise.protocol import RankEvidence
from paceline.supervise.verdict import Verdict, judge

IN_RECV = """Current thread 0x00007f12e8f2d740 (most recent call first):
  File "/lib/torch/distributed/distributed_c10d.py", line 2703 in recv
  File "/src/my_model.py", line 7 in forward
"""
IN_USER_CODE = """Current thread 0x00007f12e8f2d740 (most recent call first):
  File "/src/my_callback.py", line 7 in spin
"""
WAITS = "gloo:all_reduce #3 of default_pg (4 x Float)"


def recorded(scene: str) -> list[dict[str, Any]]:
    """The recorders' JSON of both ranks."""
    path = Path(__file__).parent / "flight_records" / f"{scene}.json"
    dumps: list[dict[str, Any]] = json.loads(path.read_text())
    return dumps


def groups(scene: str, number: int) -> tuple[GroupRecord, ...]:
    return digest(json.dumps(recorded(scene)[number]).encode())


def rank(
    number: int, found: tuple[GroupRecord, ...] | None, stacks: str = "", phase: Phase = Phase.UPDATE
) -> RankEvidence:
    return RankEvidence(
        rank=number,
        step=5,
        phase=phase,
        idle_seconds=9.0,
        node=f"node-{number}",
        process_state="S",
        stacks=stacks,
        groups=found,
    )


def verdict(scene: str, stacks: str = "", phase: Phase = Phase.UPDATE) -> Verdict:
    return judge([rank(0, groups(scene, 0)), rank(1, groups(scene, 1), stacks, phase)])


def test_a_digest_has_the_oldest_collective_that_is_not_done() -> None:
    waits, other = groups("absent", 0)
    assert waits == GroupRecord(
        group="0",
        description="default_pg",
        entered=3,
        pending=Collective(name="gloo:all_reduce", number=3, elements=4, dtype="Float"),
    )
    assert other == GroupRecord(group="1", description="mesh_dp", entered=1)
    assert [(g.entered, g.pending) for g in groups("absent", 1)] == [(2, None), (1, None)]
    assert digest(b"") == ()


def test_a_digest_leaves_messages_out_and_what_was_made_as_one_with_others() -> None:
    dump, _ = recorded("absent")
    *done, waits = dump["entries"]
    message = {**waits, "is_p2p": True, "collective_seq_id": 2, "record_id": 4}
    part = {**done[-1], "retired": False, "record_id": 5}
    dump["entries"] = [*done, part, message, waits]
    assert digest(json.dumps(dump).encode()) == groups("absent", 0)


def test_a_group_of_the_rehearsal_does_not_count_beside_the_one_of_its_name() -> None:
    dump, later = recorded("absent")
    dump["entries"] += [{**entry, "pg_id": 7 + entry["pg_id"]} for entry in later["entries"]]
    dump["pg_status"] |= {str(7 + int(number)): status for number, status in later["pg_status"].items()}
    assert digest(json.dumps(dump).encode()) == groups("absent", 1)


def test_the_rank_that_has_not_come_is_named_with_those_that_wait() -> None:
    """Nothing else tells them apart: on a GPU a call returns before it is done."""
    blind = judge([rank(0, None), rank(1, None)])
    assert (blind.rank, "rank 1 too" in blind.reason) == (0, True)
    found = verdict("absent")
    assert (found.fault_class, found.node, found.rank) == ("user_code_stuck", "node-1", 1)
    assert found.reason.endswith(f"; it has not come to {WAITS}, where rank 0 waits")


@pytest.mark.parametrize(
    ("phase", "fault_class"),
    [
        (Phase.BUILD, "start_stalled"),
        (Phase.DATA, "storage_stalled"),
        (Phase.FORWARD_BACKWARD, "user_code_stuck"),
        (Phase.FENCE, "checkpoint_stalled"),
    ],
)
def test_what_the_absent_rank_is_at_is_the_class(phase: Phase, fault_class: str) -> None:
    found = verdict("absent", IN_USER_CODE, phase)
    assert (found.fault_class, found.rank) == (fault_class, 1)
    assert "has not come" in found.reason


def test_a_rank_that_waits_for_a_message_is_named_though_no_recorder_knows_it() -> None:
    found = verdict("message", IN_RECV)
    assert (found.fault_class, found.rank) == ("collective_deadlocked", 1)
    assert f"it waits in recv; it has not come to {WAITS}, where rank 0 waits" in found.reason


def test_but_not_while_another_goes_about_by_itself() -> None:
    waits, message = rank(0, groups("message", 0)), rank(1, groups("message", 1), IN_RECV)
    found = judge([waits, message, rank(2, groups("absent", 1), IN_USER_CODE)])
    assert (found.fault_class, found.rank) == ("user_code_stuck", 2)


def test_different_collectives_of_one_number_are_told_with_their_ranks() -> None:
    found = verdict("mismatch")
    assert (found.fault_class, found.rank) == ("collective_deadlocked", None)
    other = "rank 1 in gloo:all_gather #3 of default_pg (4 x Float)"
    assert f"different collectives: rank 0 in {WAITS}; {other}" in found.reason


def test_of_three_the_one_in_another_collective_is_named() -> None:
    majority = [rank(n, groups("mismatch", 0)) for n in (0, 2)]
    found = judge([*majority, rank(1, groups("mismatch", 1))])
    assert (found.fault_class, found.rank) == ("collective_deadlocked", 1)
    assert f"it waits in gloo:all_gather #3 of default_pg (4 x Float), the others in {WAITS}" in found.reason


def test_ranks_that_wait_for_each_other_in_two_groups_are_both_told() -> None:
    found = verdict("crossed")
    assert (found.fault_class, found.rank) == ("collective_deadlocked", None)
    assert f"rank 0 in {WAITS}; rank 1 in gloo:all_reduce #2 of mesh_dp (4 x Float)" in found.reason


def test_when_all_have_come_it_is_the_network() -> None:
    found = judge([rank(n, groups("absent", 0)) for n in range(2)])
    assert (found.fault_class, found.node) == ("collective_deadlocked", None)
    assert f"every rank waits in {WAITS} at the same place: the network" in found.reason


def test_a_chain_ends_at_the_rank_that_waits_for_nobody() -> None:
    def group(name: str, entered: int, *, waits: bool = False) -> GroupRecord:
        call = Collective(name="nccl:all_reduce", number=entered, elements=1, dtype="Float")
        return GroupRecord(group=name, description=name, entered=entered, pending=call if waits else None)

    first = rank(0, (group("tp", 9, waits=True),))
    second = rank(1, (group("dp", 4, waits=True), group("tp", 8)))
    third = rank(2, (group("dp", 3),))
    assert judge([first, second, third]).reason.endswith(
        "not come to nccl:all_reduce #4 of dp (1 x Float), where rank 1 waits"
    )
    assert judge([first, second, third]).rank == 2


def test_a_recorder_that_is_empty_has_missed_the_first_meeting_one_that_is_silent_tells_nothing() -> None:
    waits = rank(0, groups("absent", 0))
    assert "it has not come to" in judge([waits, rank(1, ())]).reason
    silent = judge([waits, rank(1, None)])
    assert (silent.rank, "it has not come to" in silent.reason) == (1, False)


def test_many_ranks_are_counted() -> None:
    assert (name_ranks([3]), name_ranks([4, 3]), name_ranks(range(9))) == ("rank 3", "ranks 3, 4", "9 ranks")


def test_a_record_is_kept_whole_where_there_is_one(tmp_path: Path) -> None:
    keep(b"", tmp_path / "evidence", generation=1, rank=2)
    assert not (tmp_path / "evidence").exists()
    keep(b"{}", tmp_path / "evidence", generation=1, rank=2)
    assert (tmp_path / "evidence" / "hang-generation-0001-rank-00002.json").read_bytes() == b"{}"
    keep(b"{}", tmp_path / "evidence" / "hang-generation-0001-rank-00002.json", generation=1, rank=2)
