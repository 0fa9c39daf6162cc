"""Ranks of DeepSpeed itself that save, and load again what was written for them. Run by test_deepspeed_universal.py."""

from __future__ import annotations

import multiprocessing
import socket
import sys
from argparse import Namespace
from multiprocessing.connection import wait
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paceline.checkpoint.deepspeed_files import read, write
from paceline.checkpoint.restore import fill
from paceline.engines.base import LogicalShard, RankContext, Rendezvous
from paceline.models import config
from paceline.models.config import DecoderConfig
from paceline.models.families import FAMILIES
from paceline.models.registry import blueprint
from paceline.recipe.schema import ModelChoice
from tests.integration.deepspeed_cells import PRESETS, VOCABULARY, Cell
from tests.integration.deepspeed_ranks import body, open_engine, train

CELLS = [
    Cell(engine="deepspeed", ranks=2, family="mixtral", parallelism={"zero": 1}, steps=2),
    Cell(engine="deepspeed", ranks=2, family="qwen3", parallelism={"zero": 2}, steps=2),
    Cell(engine="deepspeed", ranks=2, family="mixtral", parallelism={"zero": 3}, steps=2),
]
"""Experts, whose parameters hold several tensors, and a tied head, which is none."""
WORLD = 2


def save(cell: Cell, context: RankContext, output: Path) -> None:
    """Train, and save as DeepSpeed does and as a checkpoint has it."""
    engine: Any = open_engine(cell, context)
    train(engine, cell, context, 0)
    engine._built.wrapped.save_checkpoint(str(output), tag="ranks")
    (output / f"{context.rank}.bin").write_bytes(body(engine.state()))
    engine.teardown()


def convert(cell: Cell, output: Path) -> None:
    """DeepSpeed's own tool makes `universal`; what is read of it is written as `again`."""
    from deepspeed.checkpoint import ds_to_universal

    workers = {"num_extract_workers": 1, "num_merge_workers": 1, "keep_temp_folder": False}
    folders = {"input_folder": str(output / "ranks"), "output_folder": str(output / "universal")}
    ds_to_universal.main(Namespace(**folders, **workers, strict=False, inject_missing_state=True))
    described = described_by(cell)
    tensors = read(output / "universal", described)
    torch.save(tensors, output / "read.pt")
    write(output / "again", tensors, described, zero=cell.parallelism["zero"])


def load(cell: Cell, context: RankContext, output: Path) -> None:
    """DeepSpeed loads `again`; what the rank holds then."""
    from paceline.engines.deepspeed import engine as module

    own = module.config
    module.config = lambda *given: own(*given) | {"checkpoint": {"load_universal": True}}
    engine: Any = open_engine(cell, context)
    engine._built.wrapped.load_checkpoint(str(output), tag="again")
    plan = blueprint(ModelChoice.model_validate({"family": cell.family, "preset": "tiny"}), VOCABULARY).sharding
    (output / f"loaded-{context.rank}.bin").write_bytes(body(engine._built.partition.state(plan)))
    engine.teardown()
    module.config = own


def described_by(cell: Cell) -> DecoderConfig:
    config._presets = lambda package: {"tiny": PRESETS[package.rpartition(".")[2]]}
    return FAMILIES[cell.family].preset("tiny", vocabulary=VOCABULARY)


def whole(files: list[Path], shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The logical tensors that the shard files of all ranks hold."""
    state = {
        name: LogicalShard(tensor=torch.empty(shape), global_shape=shape, offset=(0,) * len(shape))
        for name, shape in shapes.items()
    }
    fill(state, [(file.name, memoryview(bytearray(file.read_bytes()))) for file in files])
    return {name: shard.tensor for name, shard in state.items()}


def rank_process(rank: int, listeners: list[socket.socket], together: Barrier, output: str) -> None:
    torch.set_num_threads(1)

    def context(generation: int) -> RankContext:
        port = listeners[generation].getsockname()[1]
        served = listeners[generation].detach() if rank == 0 else None
        meeting = Rendezvous(host="127.0.0.1", port=port, listen_fd=served)
        return RankContext(rank=rank, world_size=WORLD, generation=generation, rendezvous=meeting)

    for number, cell in enumerate(CELLS):
        folder = Path(output) / str(number)
        save(cell, context(2 * number), folder)
        together.wait()
        if rank == 0:
            convert(cell, folder)
        together.wait()
        load(cell, context(2 * number + 1), folder)


def main(output: str) -> None:
    """Ranks are forked from this process, which has imported torch but not used it."""
    for number, cell in enumerate(CELLS):
        (Path(output) / str(number)).mkdir()
        described_by(cell)
    fork = multiprocessing.get_context("fork")
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2 * len(CELLS))]
    together = fork.Barrier(WORLD)
    ranks = [
        fork.Process(target=rank_process, args=(r, listeners, together, output), daemon=True) for r in range(WORLD)
    ]
    for process in ranks:
        process.start()
    while alive := [process.sentinel for process in ranks if process.is_alive()]:
        wait(alive)
        if any(process.exitcode for process in ranks):
            sys.exit("a rank failed")  # the other, who waits for it, is ended with this process


if __name__ == "__main__":
    main(sys.argv[1])
