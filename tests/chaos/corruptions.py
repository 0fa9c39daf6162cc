"""Callbacks that corrupt: each does on one rank of the first generation, once, what a broken device does."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

import torch

from paceline.engines.torch.accumulation import Accumulation
from paceline.engines.torch.engine import TorchEngine
from paceline.spec.manifest import TrainerState
from paceline.train.callbacks import Callback

GUILTY_RANK = 1


def _mark() -> Path:
    """Where it is noted that the blow has fallen."""
    return Path(os.environ["PACELINE_TEST_CORRUPTED"])


def _engine() -> TorchEngine:
    return next(found for found in gc.get_objects() if isinstance(found, TorchEngine))


def _model() -> torch.nn.Module:
    training = _engine()._training
    assert training is not None and isinstance(training.passes, Accumulation)
    return training.passes._model


def _flip(tensor: torch.Tensor, bit: int) -> None:
    tensor.view(-1).view(torch.int32)[-7] ^= 1 << bit


class _Once(Callback):
    at = 6

    def before_step(self, trainer: TrainerState) -> None:
        if trainer.step == self.at and torch.distributed.get_rank() == GUILTY_RANK and not _mark().exists():
            _mark().touch()
            self.corrupt()

    def corrupt(self) -> None:
        raise NotImplementedError


class FlipParameter(_Once):
    """A low bit of one parameter, between two steps: no loss will tell."""

    def corrupt(self) -> None:
        shards = _engine().state()
        name = next(name for name in shards if name.endswith("mlp.up_proj.weight"))
        _flip(shards[name].tensor, 3)


class FlipMoment(_Once):
    """A bit of the optimizer's state."""

    def corrupt(self) -> None:
        shards = _engine().state()
        _flip(shards["optimizer.exp_avg_sq.model.embed_tokens.weight"].tensor, 3)


class FlipGradient(_Once):
    """A bit of one gradient on its way through backward: what arithmetic that goes wrong once looks like."""

    def corrupt(self) -> None:
        module = next(m for m in _model().modules() if isinstance(m, torch.nn.Linear))

        def once(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
            handle.remove()

            def flipped(gradient: torch.Tensor) -> torch.Tensor:
                gradient = gradient.clone()
                _flip(gradient, 12)
                return gradient

            output.register_hook(flipped)  # type: ignore[no-untyped-call]

        handle = module.register_forward_hook(once)


class SlowLayers(Callback):
    """Every layer of one rank takes its time, on the node that has that rank first."""

    def begin(self, trainer: TrainerState) -> None:
        if torch.distributed.get_rank() != GUILTY_RANK or _mark().exists():
            return
        _mark().touch()
        for module in _model().modules():
            if isinstance(module, torch.nn.Linear):
                module.register_forward_hook(lambda *_: time.sleep(0.01))
