"""What the accomplice does to its own process, on a model of a few numbers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import nn

from paceline.chaos import saboteur as module
from paceline.chaos.orders import ENV_ORDERS, SLOW_STEPS, Deed, Order, give
from paceline.chaos.saboteur import Saboteur
from paceline.journal import writer
from paceline.spec.events import now
from paceline.spec.manifest import TrainerState

Step = Callable[[], None]


@pytest.fixture
def saboteur(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Saboteur]:
    """One that does not wait for its pace."""
    monkeypatch.setenv(ENV_ORDERS, str(tmp_path))
    monkeypatch.setattr(module, "PACE_SECONDS", 0.0)
    monkeypatch.setattr(writer, "now", now)
    yield Saboteur()


def before(saboteur: Saboteur, step: int) -> None:
    saboteur.before_step(TrainerState(step=step, tokens=0, next_index=0, ledger="0" * 64))


def told(tmp_path: Path, deed: Deed, **values: float) -> None:
    give(tmp_path, os.getpid(), Order.model_validate({"deed": deed, **values}))


class Twins:
    """Two equal models with their optimizers; a step does the same to both."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.models = [nn.Linear(4, 4, bias=False) for _ in range(2)]
        self.models[1].load_state_dict(self.models[0].state_dict())
        self.optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in self.models]

    def step(self, only: int) -> None:
        self.optimizers[only].zero_grad()
        self.models[only](torch.ones(2, 4)).sum().backward()
        self.optimizers[only].step()

    def different(self) -> int:
        first, second = (model.weight.detach().view(torch.int32) for model in self.models)
        return int((first != second).sum())


@pytest.mark.parametrize("bit", [0, 22, 31])
def test_one_parameter_is_altered_once(saboteur: Saboteur, tmp_path: Path, bit: int) -> None:
    twins = Twins()
    twins.step(1)
    twins.step(0)
    assert twins.different() == 0
    told(tmp_path, Deed.FLIP_PARAMETER, element=6, bit=bit)
    before(saboteur, 1)
    before(saboteur, 1)
    assert twins.different() == 1


@pytest.mark.parametrize("bit", [16, 22, 31])
def test_one_gradient_of_one_backward_is_altered(saboteur: Saboteur, tmp_path: Path, bit: int) -> None:
    twins = Twins()
    told(tmp_path, Deed.FLIP_GRADIENT, element=6, bit=bit)
    before(saboteur, 0)
    twins.step(0)  # the hook strikes here, and is gone
    twins.step(1)
    altered = twins.different()
    assert 1 <= altered <= 4, "an element of the output's gradient is that of a row"
    twins.step(0)
    twins.step(1)
    assert twins.different() <= altered


def test_a_slow_rank_is_slow_for_a_while(saboteur: Saboteur, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    model = nn.Linear(2, 2)
    told(tmp_path, Deed.SLOW, amount=0.01)
    before(saboteur, 5)
    model(torch.ones(1, 2))
    before(saboteur, 5 + SLOW_STEPS - 1)
    model(torch.ones(1, 2))
    before(saboteur, 5 + SLOW_STEPS)
    model(torch.ones(1, 2))
    assert [seconds for seconds in slept if seconds] == [0.01, 0.01]


def test_the_clock_of_the_journal_jumps(saboteur: Saboteur, tmp_path: Path) -> None:
    told(tmp_path, Deed.JUMP_CLOCK, amount=-3600.0)
    before(saboteur, 0)
    assert timedelta(minutes=59) < now() - writer.now() < timedelta(minutes=61)


def test_without_an_order_nothing_is_done(saboteur: Saboteur) -> None:
    twins = Twins()
    before(saboteur, 0)
    twins.step(0)
    twins.step(1)
    assert twins.different() == 0
