"""torch.distributed.checkpoint as its documentation uses it, on the tensors of a paceline engine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType, AsyncSaveResponse, async_save, save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard

from paceline.engines.base import LogicalShard

State = dict[str, Any]
Save = Callable[[State, str], Any]


def modes() -> dict[str, Save | None]:
    """Ways to save, by name. Stagers are made once and reused, as their documentation advises."""
    group = dist.new_group(backend="gloo")  # saves must not share the collectives of training
    reused = _stager(use_async_staging=True)
    shared = _stager(use_shared_memory=True)

    def synchronous(state: State, path: str) -> None:
        save(state, checkpoint_id=path)

    def asynchronous(**options: Any) -> Save:
        return lambda state, path: async_save(state, checkpoint_id=path, process_group=group, **options)

    return {
        "none": None,
        "sync": synchronous,
        "thread": asynchronous(),
        "thread-staging": asynchronous(async_stager=reused),
        "process": asynchronous(async_stager=shared, async_checkpointer_type=AsyncCheckpointerType.PROCESS),
    }


def _stager(**chosen: bool) -> DefaultStager:
    names = ("use_pinned_memory", "use_shared_memory", "use_async_staging", "use_non_blocking_copy")
    return DefaultStager(StagingOptions(**(dict.fromkeys(names, False) | chosen)))


def newest(directory: Path) -> Path | None:
    """The newest checkpoint that is complete: its `.metadata` is written last."""
    return max((path.parent for path in directory.glob("step_*/.metadata")), key=_step, default=None)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step_"))


class Saver:
    """Saves every `every` steps, one save at a time, and keeps one older checkpoint.

    `stalled` is the time in seconds that training has waited for it since `take_stalled`.
    """

    def __init__(self, state: Mapping[str, LogicalShard], directory: Path, mode: str, every: int) -> None:
        mesh = init_device_mesh("cpu", (dist.get_world_size(),))
        self._state = {name: _whole(shard, mesh) for name, shard in state.items()}
        self._directory = directory
        self._save = modes()[mode]
        self._every = every
        self._saving: Any = None
        self._stalled = 0.0

    def restore(self) -> int:
        """Load the newest complete checkpoint into the tensors; the number of steps done, 0 without a checkpoint."""
        found = newest(self._directory)
        if found is None:
            return 0
        state: State = {**self._state, "step": 0}
        load(state, checkpoint_id=str(found))
        step: int = state["step"]
        return step

    def after_step(self, step: int) -> None:
        """Save, if it is time for it; a save that is still under way is waited for first."""
        if self._save is None or step % self._every:
            return
        started = time.perf_counter()
        self._finish()
        self._saving = self._save({**self._state, "step": step}, str(self._directory / f"step_{step}"))
        self._stalled += time.perf_counter() - started

    def before_update(self) -> None:
        """Wait until the tensors have been copied: the optimizer is about to change them."""
        if isinstance(self._saving, AsyncSaveResponse):
            started = time.perf_counter()
            self._saving.staging_completion.result()
            self._stalled += time.perf_counter() - started

    def take_stalled(self) -> float:
        seconds, self._stalled = self._stalled, 0.0
        return seconds

    def close(self) -> None:
        self._finish()

    def _finish(self) -> None:
        if self._saving is not None:
            future: Future[Any] = self._saving
            if isinstance(self._saving, AsyncSaveResponse):
                future = self._saving.upload_completion
            future.result()
            self._saving = None
        if dist.get_rank() == 0:
            for path in sorted(self._directory.glob("step_*"), key=_step)[:-2]:
                shutil.rmtree(path)


def _whole(shard: LogicalShard, mesh: Any) -> torch.Tensor:
    """The live tensor as DCP wants it: a DTensor over all ranks that looks at the same memory, or a plain scalar."""
    if not shard.global_shape:
        return shard.tensor
    shape = torch.Size(shard.global_shape)
    stride = torch.empty(shape, device="meta").stride()
    return DTensor.from_local(shard.tensor, mesh, [Shard(0)], run_check=False, shape=shape, stride=stride)
