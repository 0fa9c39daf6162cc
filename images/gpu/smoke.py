"""The last step of the image's build: what is inside is what the matrix says, and it trains a step.

On a machine with GPUs it also lets two of them talk (one, if there is one): the acceptance of the image.

    docker run --rm --gpus all --entrypoint python IMAGE /opt/paceline/share/smoke.py
"""

from __future__ import annotations

import os
import sys
import tempfile

from inside import require


def reduce(rank: int, world: int, store: str) -> None:
    """One rank of an all-reduce through NCCL."""
    import torch
    from torch import distributed

    torch.cuda.set_device(rank)
    distributed.init_process_group("nccl", init_method=f"file://{store}", rank=rank, world_size=world)
    total = torch.ones(1 << 20, device="cuda")
    distributed.all_reduce(total)
    assert total.eq(world).all(), f"rank {rank}: the sum over {world} ranks is {total[0].item()}"
    distributed.destroy_process_group()


def main() -> None:
    require("gpu")

    import torch
    from torch import multiprocessing

    from paceline.engines.registry import create
    from paceline.recipe.load import load

    create("torch").rehearse(load("debug-tiny").recipe, vocabulary=300)
    sys.stdout.write("a step of debug-tiny trained\n")
    if not torch.cuda.is_available():
        sys.stdout.write("no GPU here: NCCL was not tried\n")
        return
    world = min(2, torch.cuda.device_count())
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(reduce, args=(world, os.path.join(folder, "store")), nprocs=world)  # noqa: PTH118
    sys.stdout.write(f"NCCL {'.'.join(map(str, torch.cuda.nccl.version()))}: {world} ranks summed\n")


if __name__ == "__main__":
    main()
