from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from paceline.checkpoint.segment import Segment
from paceline.spec.manifest import TrainerState
from paceline.supervise import peer
from paceline.supervise.memory import NodeMemory
from paceline.supervise.protocol import Address

TOKEN = "secret"


def write(segment: Segment, rank: int, step: int, content: bytes = b"x" * 100_000, generation: int = 0) -> str:
    trainer = TrainerState(step=step, tokens=step, next_index=step, ledger="0" * 64)
    segment.receive(generation=generation, rank=rank, world_size=2, trainer=trainer, body_bytes=len(content))[:] = (
        content
    )
    return segment.finish().digest


@pytest.fixture
def memory() -> NodeMemory:
    return NodeMemory("node-0", 1)


@pytest.fixture
def server(memory: NodeMemory) -> Iterator[peer.PeerServer]:
    server = peer.PeerServer("127.0.0.1", memory, TOKEN)
    yield server
    server.close()


@pytest.fixture
def address(server: peer.PeerServer) -> Address:
    return Address(host="127.0.0.1", port=server.port)


def test_held_lists_whole_snapshots_newest_first(memory: NodeMemory) -> None:
    write(memory.own[0][0], 0, 6)
    write(memory.own[0][1], 0, 7)
    write(memory.copy_target(1), 1, 7)
    assert [(s.rank, s.step) for s in memory.held()] == [(0, 7), (1, 7), (0, 6)]


def test_the_newest_copy_is_never_overwritten(memory: NodeMemory) -> None:
    older = write(memory.copy_target(1), 1, 6)
    newer = write(memory.copy_target(1), 1, 7)
    assert memory.copy_target(1) is memory.find(1, 6, older)
    write(memory.copy_target(1), 1, 8)
    assert memory.find(1, 7, newer) is not None and memory.find(1, 6, older) is None


def test_forget_after_drops_what_was_rolled_back(memory: NodeMemory) -> None:
    write(memory.own[0][0], 0, 6)
    write(memory.own[0][1], 0, 7)
    memory.forget_after(6)
    assert [s.step for s in memory.held()] == [6]


def test_a_buddy_keeps_a_copy_and_gives_it_back(memory: NodeMemory, address: Address) -> None:
    mine, back = Segment.create("mine"), Segment.create("back")
    digest = write(mine, 5, 9, b"state" * 50_000)
    peer.hold(address, mine, TOKEN)
    assert [(s.rank, s.step, s.digest) for s in memory.held()] == [(5, 9, digest)]
    peer.fetch(address, 5, 9, digest, back, TOKEN)
    header = back.header()
    assert header is not None and back.is_whole()
    assert bytes(back.body(header.body_bytes)) == b"state" * 50_000


def test_what_is_not_there_cannot_be_fetched(address: Address) -> None:
    with pytest.raises(peer.PeerError, match="no snapshot of rank 5 after step 9"):
        peer.fetch(address, 5, 9, "", Segment.create("back"), TOKEN)


def test_another_snapshot_than_reported_is_refused(memory: NodeMemory, address: Address) -> None:
    write(memory.own[0][0], 0, 6)
    with pytest.raises(peer.PeerError, match="no snapshot of rank 0 after step 6"):
        peer.fetch(address, 0, 6, "f" * 32, Segment.create("back"), TOKEN)


def test_a_snapshot_damaged_in_memory_is_found_on_arrival(memory: NodeMemory, address: Address) -> None:
    digest = write(memory.own[0][0], 0, 6)
    memory.own[0][0].body(10)[3] ^= 1
    back = Segment.create("back")
    with pytest.raises(peer.PeerError, match="arrived altered"):
        peer.fetch(address, 0, 6, digest, back, TOKEN)
    assert not back.is_whole()


def test_strangers_are_turned_away(memory: NodeMemory, address: Address) -> None:
    mine = Segment.create("mine")
    write(mine, 5, 9)
    with pytest.raises(peer.PeerError):
        peer.hold(address, mine, "guess")
    assert memory.held() == []


def test_a_connection_that_ends_early_leaves_nothing_whole(memory: NodeMemory, address: Address) -> None:
    mine = Segment.create("mine")
    write(mine, 5, 9)
    header = mine.header()
    assert header is not None
    with socket.create_connection((address.host, address.port)) as connection:
        peer._send_line(
            connection,
            {
                "do": "hold",
                "token": TOKEN,
                "rank": 5,
                "world_size": 6,
                "step": 9,
                "generation": 0,
                "bytes": header.body_bytes,
                "digest": header.digest,
                "trainer": mine.trainer(header).model_dump(),
            },
        )
        connection.sendall(b"half")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    assert memory.held() == []


def test_nobody_there_is_an_error_not_a_hang() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    mine = Segment.create("mine")
    write(mine, 0, 1)
    with pytest.raises(peer.PeerError, match="refused"):
        peer.hold(Address(host="127.0.0.1", port=port), mine, TOKEN)


def test_copies_that_nobody_will_ask_for_are_given_back(memory: NodeMemory, address: Address) -> None:
    """Rank 5 is kept for another buddy now: once rank 6 is two steps further, all of step 8 exists twice elsewhere."""
    mine = Segment.create("mine")
    for rank, step in ((5, 6), (5, 7), (6, 8)):
        write(mine, rank, step)
        peer.hold(address, mine, TOKEN)
    assert {(s.rank, s.step) for s in memory.held()} == {(5, 6), (5, 7), (6, 8)}
    write(mine, 6, 9)
    with memory.receiving(5):
        peer.hold(address, mine, TOKEN)
        assert {s.rank for s in memory.held()} == {5, 6}, "one that is being written is not taken away"
    write(mine, 6, 10)
    peer.hold(address, mine, TOKEN)
    assert {(s.rank, s.step) for s in memory.held()} == {(6, 9), (6, 10)}


def test_what_a_buddy_has_is_not_sent_again(
    memory: NodeMemory, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, back = Segment.create("mine"), Segment.create("back")
    digest = write(mine, 5, 9)
    peer.hold(address, mine, TOKEN)
    peer.fetch(address, 5, 9, digest, back, TOKEN)
    received: list[int] = []
    receive = peer._receive
    monkeypatch.setattr(peer, "_receive", lambda *given: (received.append(given[2]["step"]), receive(*given)))
    peer.hold(address, back, TOKEN)
    assert received == []
    held = memory.find(5, 9, digest)
    assert held is not None
    held.body(10)[3] ^= 1
    peer.hold(address, back, TOKEN)
    assert received == [9], "a damaged copy is none"
    again = memory.find(5, 9, digest)
    assert again is not None and again.is_whole()


def test_the_same_content_of_another_generation_is_sent(memory: NodeMemory, address: Address) -> None:
    mine = Segment.create("mine")
    for generation in (0, 1):
        write(mine, 5, 9, generation=generation)
        peer.hold(address, mine, TOKEN)
    assert [s.generation for s in memory.held()] == [0, 1]


def test_a_spare_receives_into_pages_that_it_has(memory: NodeMemory, address: Address) -> None:
    before = resident(memory)
    memory.make_room(1_000_000)
    assert resident(memory) - before >= 2_000_000, "one to be restored from, one for a buddy"
    assert memory.held() == []
    ready, mine = memory._unused[0], Segment.create("mine")
    write(mine, 5, 9, b"x" * 1_000_000)
    peer.hold(address, mine, TOKEN)
    assert memory._copies[5] is ready
    between = resident(memory)
    memory.make_room(1_000_000)
    assert resident(memory) == between, "once is enough"


def resident(memory: NodeMemory) -> int:
    """The bytes of its segments that lie in memory."""
    pairs = [*memory.own, *memory._copies.values(), *memory._unused]
    return sum(os.fstat(segment.fd).st_blocks * 512 for pair in pairs for segment in pair)
