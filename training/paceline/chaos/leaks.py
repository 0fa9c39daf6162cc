"""What a chaos run has left on the machine. Its processes are known by a mark in their environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from paceline.chaos.orders import ENV_ORDERS
from paceline.spec.base import Record

_SEGMENT = "/memfd:paceline-"


class Leaks(Record):
    """How many are left: processes, segments of shared memory in them or in this one, ports that still listen, and
    temporary files."""

    processes: int
    segments: int
    ports: int
    files: int


def find(orders: Path, ports: Iterable[int], temporary: Path, checkpoints: Path) -> Leaks:
    """What is left of the run whose saboteurs looked into `orders`. Files that its processes put into `temporary`, and
    half written ones below `checkpoints`, count."""
    processes = list(_marked(f"{ENV_ORDERS}={orders}".encode()))
    drafts = (path for path in checkpoints.rglob(".*") if path.is_file() and path.suffix)
    return Leaks(
        processes=len(processes),
        segments=sum(_segments(pid) for pid in [*processes, os.getpid()]),
        ports=sum(_listens(port) for port in set(ports)),
        files=sum(path.is_file() for path in temporary.rglob("*")) + sum(1 for _ in drafts),
    )


def _marked(mark: bytes) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes().split(b"\0") and int(path.parent.name) != os.getpid():
                yield int(path.parent.name)
        except OSError:
            continue  # it ended while we looked, or is none of ours


def _segments(pid: int) -> int:
    try:
        links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return 0
    return sum(link.startswith(_SEGMENT) for link in links)


def _listens(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return True
    return False
