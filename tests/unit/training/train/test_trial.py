"""The trial run does with an engine what a run does, in its shapes and rates, and leaves nothing but graphs."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from paceline.engines.base import LogicalShard, RankContext, Rendezvous
from paceline.plan.layout import derive
from paceline.recipe.schema import Recipe
from paceline.spec.job import JobSpec
from paceline.train.trial import trial

CONTEXT = RankContext(rank=1, world_size=2, generation=0, rendezvous=Rendezvous(host="127.0.0.1", port=1))


class Recorder:
    """An engine that notes what it is asked."""

    name = "nxd"

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.rates: list[float] = []
        self.shapes: set[tuple[int, ...]] = set()
        self.documents: set[bool] = set()

    def plan(self, recipe: Recipe, world_size: int) -> Any:
        self.layout = derive(recipe, world_size)
        return self.layout

    def setup(self, recipe: Recipe, vocabulary: int, context: RankContext) -> None:
        assert (vocabulary, context) == (300, CONTEXT)
        self.calls.append("setup")

    def build(self, *, initialise: bool) -> None:
        self.calls.append("build")

    def state(self) -> dict[str, LogicalShard]:
        self.calls.append("state")
        return {"weight": LogicalShard(tensor=torch.zeros(2), global_shape=(2,), offset=(0,))}

    def train_step(self, passes: Any, *, learning_rate: float, before_update: Any, **_: Any) -> Any:
        assert len(passes) == self.layout.micro_steps
        self.shapes |= {tuple(each.inputs.shape) for each in passes} | {tuple(each.targets.shape) for each in passes}
        self.documents |= {each.documents is not None for each in passes}
        self.rates.append(learning_rate)
        self.calls.append("step")
        before_update()
        number = SimpleNamespace(result=lambda: 0.0)
        return SimpleNamespace(loss=number, gradient_norm=number, metrics={})

    def eval_step(self, batch: Any) -> None:
        self.shapes.add(tuple(batch.inputs.shape))
        self.calls.append("evaluation")

    def sync(self) -> None:
        self.calls.append("sync")

    def teardown(self) -> None:
        self.calls.append("teardown")


def tried(job: JobSpec) -> Recorder:
    engine = Recorder()
    trial(engine, job, CONTEXT)  # type: ignore[arg-type]
    return engine


def test_it_goes_through_all_that_a_run_computes(make_neuron_job: Callable[..., JobSpec]) -> None:
    job = make_neuron_job("schedule.steps=100", "evaluation.every=10")
    engine = tried(job)
    assert engine.calls == ["setup", "build", *["step", "state"] * 4, "evaluation", "sync", "teardown"]
    assert engine.shapes == {(2, job.recipe["data"]["sequence_length"])}
    assert engine.documents == {False}


def test_without_evaluation_or_with_documents_it_does_as_the_run_does(make_neuron_job: Callable[..., JobSpec]) -> None:
    engine = tried(make_neuron_job("evaluation.every=0", "data.document_mask=true"))
    assert "evaluation" not in engine.calls
    assert engine.documents == {True}


def test_the_rate_with_which_a_schedule_ends_is_among_its_rates(make_neuron_job: Callable[..., JobSpec]) -> None:
    engine = tried(make_neuron_job("schedule.kind=linear", "schedule.steps=100", "schedule.final_fraction=0"))
    assert engine.rates[-1] < engine.rates[-2]
    assert len(engine.rates) == 4


def test_a_short_run_is_tried_whole(make_neuron_job: Callable[..., JobSpec]) -> None:
    assert len(tried(make_neuron_job("schedule.steps=2", "schedule.warmup_steps=0")).rates) == 2


def test_what_fails_leaves_the_peers(make_neuron_job: Callable[..., JobSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Recorder()
    monkeypatch.setattr(engine, "sync", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trial(engine, make_neuron_job(), CONTEXT)  # type: ignore[arg-type]
    assert engine.calls[-1] == "teardown"
