"""What a rank testifies, in a world of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from paceline.engines import watch
from paceline.engines.base import Watch
from paceline.engines.torch.engine import TorchEngine
from paceline.engines.watch import read

Start = Callable[..., TorchEngine]


@dataclass
class Pass:
    inputs: torch.Tensor
    targets: torch.Tensor
    documents: torch.Tensor | None = None


def passes(seed: int) -> list[Pass]:
    tokens = torch.randint(0, 96, (2, 2, 17), generator=torch.Generator().manual_seed(seed))
    return [Pass(t[:, :-1], t[:, 1:]) for t in tokens]


def step(
    engine: TorchEngine, asked: Watch | None, before_update: Callable[[], None] = lambda: None
) -> watch.Testimony | None:
    totals = np.array([7], dtype=np.int64)
    out = engine.train_step(passes(0), learning_rate=1e-3, totals=totals, before_update=before_update, watch=asked)
    assert out.totals.tolist() == [7]
    return None if out.testimonies is None else read(out.testimonies)[0]


def test_who_recomputes_the_same_finds_the_same(start: Start) -> None:
    engine = start()
    engine.seal()
    same = step(engine, Watch(recompute=(passes(0), passes(1))))
    assert same is not None
    assert same.passes == same.partners[0] != same.partners[1]
    assert not same.altered


def test_a_flipped_bit_in_an_activation_gradient_changes_the_work(start: Start) -> None:
    engine = start()
    engine.seal()
    assert engine._training is not None
    model = engine._training.passes._model  # type: ignore[union-attr]
    module = next(m for m in model.modules() if isinstance(m, torch.nn.Linear))
    calls = []

    def flip_in_the_last_pass(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        calls.append(module)
        if len(calls) == 4:

            def flipped(gradient: torch.Tensor) -> torch.Tensor:
                gradient = gradient.clone()
                gradient.view(-1).view(torch.int32)[-7] ^= 1 << 12
                return gradient

            output.register_hook(flipped)  # type: ignore[no-untyped-call]

    module.register_forward_hook(flip_in_the_last_pass)
    said = step(engine, Watch(recompute=(passes(0),)))
    assert said is not None
    assert len(calls) == 4
    assert said.passes != said.partners[0]


def test_what_is_written_between_two_updates_is_seen(start: Start) -> None:
    engine = start()
    engine.seal()

    def write() -> None:
        engine.state()["optimizer.exp_avg.model.norm.weight"].tensor[3] = 1e-30

    said = step(engine, Watch(), before_update=write)
    assert said is not None and said.altered
    engine.seal()
    assert not engine.altered()
    write()
    engine.state()["model.norm.weight"].tensor[0] += 1
    assert engine.altered()


def test_watching_changes_no_bit(start: Start) -> None:
    def trained(asked: Watch | None) -> dict[str, torch.Tensor]:
        engine = start()
        for _ in range(3):
            engine.seal()
            step(engine, asked)
        state = {name: shard.tensor.clone() for name, shard in engine.state().items()}
        engine.teardown()
        return state

    alone, watched = trained(None), trained(Watch(recompute=(passes(1),)))
    assert [name for name in alone if not torch.equal(alone[name], watched[name])] == []
