"""Nodes as the coordinator sees them, for tests of what it decides."""

from __future__ import annotations

from datetime import UTC, datetime

from paceline.spec.health import Finding, Result
from paceline.supervise.membership import NodeView, Waiting, plan_generation
from paceline.supervise.protocol import Assignment, HeldShard, NodeStatus, WorkersStatus


def shard(rank: int, step: int, generation: int = 0) -> HeldShard:
    return HeldShard(rank=rank, world_size=2, step=step, generation=generation, bytes=1, digest=f"{rank}/{step}")


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
    domain: str | None = None,
) -> NodeView:
    status = NodeStatus(
        node=node,
        host="127.0.0.1",
        failure_domain=domain,
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
        sizes=(2,), workers_per_node=workers, previous=previous, views=seen, durable_step=durable, cause="test"
    )


def first() -> Assignment:
    assignment = opened(views(view("a"), view("b"), view("c")))
    assert isinstance(assignment, Assignment)
    return assignment
