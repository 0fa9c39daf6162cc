from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.journal.reader import Follower, read
from paceline.journal.writer import Journal
from paceline.spec.errors import JournalError
from paceline.spec.events import SCHEMA_VERSION, MembershipChanged, PhaseChanged, RunFinished


def write(directory, events):
    directory.mkdir(exist_ok=True)
    for event in events:
        with (directory / f"{event.producer}.jsonl").open("a") as file:
            file.write(event.model_dump_json(exclude_none=True) + "\n")


def test_what_was_written_is_read_in_order_of_time(tmp_path, run_of):
    events = run_of().read()
    write(tmp_path, events)
    reading = read(tmp_path)
    assert reading.torn == ()
    assert [event.time for event in reading.events] == [event.time for event in events]
    assert all(event in events for event in reading.events)


def test_events_of_one_instant_keep_the_order_of_their_producer(tmp_path, script):
    for state in ("lost", "joined", "spare", "active"):
        script.member(1, "a", state)
    write(tmp_path, script.events)
    assert [event.state for event in read(tmp_path).events] == ["lost", "joined", "spare", "active"]


def test_an_unfinished_last_line_is_left_out_and_told(tmp_path, run_of):
    write(tmp_path, run_of().read())
    path = tmp_path / "node-1.rank-0.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    reading = read(tmp_path)
    assert reading.torn == ("node-1.rank-0.jsonl",)
    assert sum(e.producer == "node-1.rank-0" for e in reading.events) == whole.count(b"\n") - 1


def test_a_successor_does_not_continue_the_line_of_a_killed_writer(tmp_path):
    first = Journal(tmp_path, run="r", producer="coordinator")
    first.emit(MembershipChanged, node="a", state="joined", reason="it called")
    first.close()
    path = tmp_path / "coordinator.jsonl"
    path.write_bytes(path.read_bytes() + b'{"schema_version":1,"ti')
    second = Journal(tmp_path, run="r", producer="coordinator")
    second.emit(RunFinished, outcome="completed", step=1)
    second.close()
    assert [event.kind for event in read(tmp_path).events] == ["membership.changed", "run.finished"]


def test_every_damaged_file_is_named_with_its_line(tmp_path, script):
    script.member(1, "a", "joined")
    write(tmp_path, script.events)
    for name in ("x", "y"):
        (tmp_path / f"{name}.jsonl").write_text((tmp_path / "coordinator.jsonl").read_text() + '{"kind": "no"}\n')
    with pytest.raises(JournalError) as caught:
        read(tmp_path)
    assert len(caught.value.problems) == 2
    assert all(f"{tmp_path}/{name}.jsonl:2:" in caught.value.render() for name in "xy")


def test_a_line_number_is_right_after_several_polls(tmp_path, script):
    script.member(1, "a", "joined")
    write(tmp_path, script.events)
    follower = Follower(tmp_path)
    assert len(follower.poll()) == 1
    with (tmp_path / "coordinator.jsonl").open("a") as file:
        file.write("nonsense\n")
    with pytest.raises(JournalError, match=r"coordinator\.jsonl:2: line: not an event"):
        follower.poll()


def test_an_event_of_a_newer_paceline_says_so(tmp_path, script):
    script.member(1, "a", "joined")
    event = json.loads(script.events[0].model_dump_json()) | {"schema_version": SCHEMA_VERSION + 1, "mood": "good"}
    (tmp_path / "a.jsonl").write_text(json.dumps(event) + "\n")
    with pytest.raises(
        JournalError, match=rf"version {SCHEMA_VERSION + 1}, this paceline reads up to {SCHEMA_VERSION}"
    ):
        read(tmp_path)


def test_a_directory_without_events_is_refused(tmp_path):
    with pytest.raises(JournalError, match="no journal"):
        read(tmp_path / "nothing")


def test_a_poll_reads_only_what_is_new(tmp_path, script):
    script.member(1, "a", "joined")
    write(tmp_path, script.events)
    follower = Follower(tmp_path)
    follower.poll()
    path = tmp_path / "coordinator.jsonl"
    path.write_bytes(b"#" * (path.stat().st_size - 1) + b"\n")  # would be refused if it were read again
    assert follower.poll() == []
    write(tmp_path, script.events)
    assert len(follower.poll()) == 1


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 4000), max_size=12))
def test_following_sees_every_event_once_however_writes_are_cut(tmp_path_factory, cuts):
    directory = tmp_path_factory.mktemp("journal")
    journal = Journal(directory, run="r", producer="a", node="a")
    for index in range(20):
        journal.emit(PhaseChanged, activity="productive", cause=f"caf\u00e9 {index}")
    journal.close()
    path = directory / "a.jsonl"
    content = path.read_bytes()
    path.write_bytes(b"")
    follower = Follower(directory)
    seen = []
    bounds = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    for low, high in pairwise(bounds):
        with path.open("ab") as file:
            file.write(content[low:high])
        seen += follower.poll()
    assert [event.cause for event in seen] == [f"caf\u00e9 {index}" for index in range(20)]
    assert follower.torn == ()
