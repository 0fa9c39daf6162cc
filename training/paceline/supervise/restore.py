"""What the workers of one node start a generation from: the state in their segments, and who they are."""

from __future__ import annotations

from collections.abc import Sequence

from paceline.supervise import peer
from paceline.supervise.memory import NodeMemory, is_snapshot
from paceline.supervise.protocol import Address, Assignment, Member, Promote


def bring_state(memory: NodeMemory, assignment: Assignment, first_rank: int, token: str) -> list[int]:
    """For each local rank the own segment that holds the snapshot to start from; -1 when none is used, or when another
    world wrote the state: then every rank takes its part out of all shards. Raises PeerError."""
    restore = assignment.restore
    if restore.source != "memory" or len(restore.shards) != assignment.world_size:
        return [-1] * len(memory.own)
    chosen = []
    for local_rank, pair in enumerate(memory.own):
        rank = first_rank + local_rank
        source = next(s for s in restore.shards if s.rank == rank)
        here = [index for index in (0, 1) if is_snapshot(pair[index], rank, restore.step, source.digest)]
        index = here[0] if here else memory.restore_target(local_rank)
        if not here:
            peer.fetch(source.address, rank, restore.step, source.digest, pair[index], token)
        chosen.append(index)
    return chosen


def promotions(assignment: Assignment, member: Member, segments: Sequence[int]) -> list[Promote]:
    """What each local rank of `member` is told, with its segment of `bring_state`."""
    first, restore = assignment.members[0], assignment.restore
    return [
        Promote(
            generation=assignment.generation,
            rank=member.first_rank + local_rank,
            local_rank=local_rank,
            world_size=assignment.world_size,
            store=Address(host=first.host, port=first.store_port),
            restore_step=restore.step,
            verified=restore.verified,
            restore_from=restore.source,
            restore_segment=segment,
            restore_shards=restore.shards if segment < 0 else (),
        )
        for local_rank, segment in enumerate(segments)
    ]
