"""How right, and how fast, the ranks of several nodes add and exchange: what the health checks of the fabric start.

    python -m torch.distributed.run --nnodes N --node-rank R ... -m paceline.train.fabric all-reduce|exchange BYTES

NCCL where there are GPUs, else gloo. Bus bandwidth is that of nccl-tests (doc/PERFORMANCE.md): for an all-reduce of S
bytes over n ranks in t seconds S/t * 2(n-1)/n, for an exchange S/t. The first rank of each node prints one JSON line
(health/fabric.py: Report).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist

_WARM, _TIMES = 3, 10
_MEET = timedelta(seconds=300)
# values that every sum of float32 holds exactly: 250 * 8 * ranks < 2^24 up to 8000 ranks
_VALUES, _WEIGHTS = 251, 8


def main(mode: str, size: int) -> None:
    """Measure `mode` with `size` bytes a rank, and print the report."""
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_MEET)
    measure = {"all-reduce": _all_reduce, "exchange": _exchange}[mode]
    wrong, speed = measure(size, device)
    everyone: list[tuple[int, float]] = [(0, 0.0)] * dist.get_world_size()
    dist.all_gather_object(everyone, (wrong, speed))
    if os.environ["LOCAL_RANK"] == "0":
        print(json.dumps(_report(mode, size, everyone)), flush=True)  # noqa: T201 - its output is the result
    dist.destroy_process_group()


def _all_reduce(size: int, device: torch.device) -> tuple[int, float]:
    """Elements that were wrong on this rank, and its bus bandwidth in GB/s."""
    ranks = dist.get_world_size()
    pattern = _pattern(size, device)
    expected = pattern * sum(_weight(rank) for rank in range(ranks))
    data = torch.empty_like(pattern)

    def once() -> None:
        torch.mul(pattern, _weight(dist.get_rank()), out=data)
        dist.all_reduce(data)

    once()
    wrong = int((data != expected).sum())
    data.zero_()  # sums of sums would soon be infinite
    seconds = _timed(lambda: dist.all_reduce(data), device)
    return wrong, size / seconds * 2 * (ranks - 1) / ranks / 1e9


def _exchange(size: int, device: torch.device) -> tuple[int, float]:
    """As `_all_reduce`, each rank of the first node with its counterpart on the second."""
    ranks, rank = dist.get_world_size(), dist.get_rank()
    partner = (rank + ranks // 2) % ranks
    pattern = _pattern(size, device)
    sent, received = pattern * _weight(rank), torch.empty_like(pattern)

    def once() -> None:
        both = [dist.P2POp(dist.isend, sent, partner), dist.P2POp(dist.irecv, received, partner)]
        for work in dist.batch_isend_irecv(both):
            work.wait()

    once()
    wrong = int((received != pattern * _weight(partner)).sum())
    return wrong, size / _timed(once, device) / 1e9


def _timed(once: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, over several."""
    for _ in range(_WARM):
        once()
    dist.barrier()
    _finish(device)
    began = time.perf_counter()
    for _ in range(_TIMES):
        once()
    _finish(device)
    return (time.perf_counter() - began) / _TIMES


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _pattern(size: int, device: torch.device) -> torch.Tensor:
    return (torch.arange(size // 4, dtype=torch.int32, device=device) % _VALUES).to(torch.float32)


def _weight(rank: int) -> int:
    return rank % _WEIGHTS + 1


def _report(mode: str, size: int, everyone: list[tuple[int, float]]) -> dict[str, object]:
    on_node = int(os.environ["LOCAL_WORLD_SIZE"])
    nodes = len(everyone) // on_node
    rails = [round(speed, 3) for _, speed in everyone[:on_node]]  # of the first node, which is the tested one
    return {
        "fabric": mode,
        "nodes": nodes,
        "payload": size,
        "library": _library(),
        "speed": round(min(speed for _, speed in everyone), 3),
        "rails": rails,
        "wrong": [sum(wrong for wrong, _ in everyone[n * on_node : (n + 1) * on_node]) for n in range(nodes)],
    }


def _library() -> str:
    if torch.cuda.is_available():
        return "nccl " + ".".join(str(part) for part in torch.cuda.nccl.version())  # type: ignore[no-untyped-call]
    return f"gloo of torch {torch.__version__}"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
