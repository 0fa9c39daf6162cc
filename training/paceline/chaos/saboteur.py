"""The accomplice inside: a callback that carries out the orders of a chaos run in the worker that they are meant for.

It also holds the pace: a chaos run is paced, so that its faults and not its steps are what takes time. The step that
comes first in a generation is not held up; it is what recovery is measured by.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

from paceline.chaos.orders import ENV_ORDERS, SLOW_STEPS, Deed, Order, take
from paceline.data.index import TokenDataset
from paceline.journal import writer
from paceline.spec.events import now
from paceline.spec.manifest import TrainerState
from paceline.train.callbacks import Callback

PACE_SECONDS = 0.2
_CHUNK = 16 << 20


class Saboteur(Callback):
    """Named by the recipes of chaos runs (legs.py)."""

    def __init__(self) -> None:
        self._directory = Path(os.environ[ENV_ORDERS])
        self._due: float | None = None
        self._slow: Any = None
        self._slow_until = 0
        self._optimizer: Any = None
        register_optimizer_step_post_hook(self._has_updated)

    def before_step(self, trainer: TrainerState) -> None:
        if self._due is not None:
            time.sleep(max(0.0, self._due - time.monotonic()))
        self._due = time.monotonic() + PACE_SECONDS
        if self._slow is not None and trainer.step >= self._slow_until:
            self._slow.remove()
            self._slow = None
        if (order := take(self._directory)) is not None:
            _DEEDS[order.deed](self, order, trainer)

    def _has_updated(self, optimizer: Any, *rest: Any) -> None:
        self._optimizer = optimizer

    def flip_parameter(self, order: Order, trainer: TrainerState) -> None:
        """Of this rank alone, between two updates."""
        parameters = [p for group in self._optimizer.param_groups for p in group["params"] if p.numel()]
        _flip(parameters[order.element % len(parameters)], order)

    def slow(self, order: Order, trainer: TrainerState) -> None:
        """Every layer takes `amount` seconds longer, for a while."""
        self._slow = register_module_forward_pre_hook(lambda module, inputs: time.sleep(order.amount))
        self._slow_until = trainer.step + SLOW_STEPS


def _hang_in_collective(saboteur: Saboteur, order: Order, trainer: TrainerState) -> None:
    """Wait for a message that nobody will send, while the others are in the sums of the step."""
    other = (dist.get_rank() + 1) % dist.get_world_size()
    dist.recv(torch.empty(1), src=other, tag=1 << 20)


def _hang_in_data(saboteur: Saboteur, order: Order, trainer: TrainerState) -> None:
    """From now on a read of the data never returns."""

    def never(dataset: TokenDataset, index: int) -> Any:
        while True:
            time.sleep(3600)

    TokenDataset.window = never  # type: ignore[assignment, method-assign]


def _flip(tensor: torch.Tensor, order: Order) -> None:
    words = tensor.detach().view(-1).view(torch.int32)
    mask = 1 << order.bit if order.bit < 31 else -(1 << 31)
    words[order.element % words.numel()] ^= mask


def _flip_gradient(saboteur: Saboteur, order: Order, trainer: TrainerState) -> None:
    """In the next backward of this rank alone, on its way out of the first layer that has one."""

    def act(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.requires_grad:
            handle.remove()
            output.register_hook(flipped)  # type: ignore[no-untyped-call]

    def flipped(gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.contiguous().clone()
        _flip(gradient, order)
        return gradient

    handle = register_module_forward_hook(act)


def _exhaust_memory(saboteur: Saboteur, order: Order, trainer: TrainerState) -> None:
    """Take memory up to a limit, and be killed there as the kernel does it: without a word, and while it is large."""
    limit = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + int(order.amount)
    taken = []
    while resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < limit:
        taken.append(b"\1" * _CHUNK)
    os.kill(os.getpid(), signal.SIGKILL)


def _jump_clock(saboteur: Saboteur, order: Order, trainer: TrainerState) -> None:
    """This process sees another time of day from now on; the clock that only counts is not affected."""
    shift = timedelta(seconds=order.amount)

    def shifted() -> datetime:
        return now() + shift

    writer.now = shifted  # type: ignore[attr-defined]


_DEEDS: dict[Deed, Callable[[Saboteur, Order, TrainerState], None]] = {
    Deed.HANG_IN_COLLECTIVE: _hang_in_collective,
    Deed.HANG_IN_DATA: _hang_in_data,
    Deed.SLOW: Saboteur.slow,
    Deed.FLIP_PARAMETER: Saboteur.flip_parameter,
    Deed.FLIP_GRADIENT: _flip_gradient,
    Deed.EXHAUST_MEMORY: _exhaust_memory,
    Deed.JUMP_CLOCK: _jump_clock,
}
