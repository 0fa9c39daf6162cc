"""Evaluation beside an engine whose loss is known: the number of each target."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paceline.data.corpus import Document
from paceline.data.index import TokenDataset
from paceline.data.prepare import prepare
from paceline.engines.base import IGNORED
from paceline.journal.reader import Follower
from paceline.journal.writer import Journal
from paceline.plan.layout import derive
from paceline.recipe.schema import Recipe
from paceline.spec.events import Activity, EvaluationFinished, PhaseChanged
from paceline.spec.manifest import TrainerState
from paceline.supervise.progress import Progress
from paceline.train.evaluation import Evaluation
from paceline.train.tasks import Choice, Question, Task

TASK = Task(
    name="numbers",
    questions=(Question(question="q", answers=("low", "high"), right=0),),
    choices=tuple(Choice(context=(9, 9), answer=(token,), bytes=4) for token in (1, 200)),
)


class Ranks:
    """Engines of all ranks of a world, in turn: what one gives, the others have given too."""

    def __init__(self, world_size: int) -> None:
        self.world_size = world_size
        self.passes: list[list[Any]] = [[] for _ in range(world_size)]
        self.rank = 0

    def eval_step(self, batch: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
        self.passes[self.rank].append(batch)
        nats = np.zeros((self.world_size, len(batch.targets)))
        nats[self.rank] = [row[row != IGNORED].sum().item() for row in batch.targets]
        return nats.flatten()


@pytest.fixture
def held_out(tmp_path: Path) -> TokenDataset:
    documents = [Document(name=f"d{n}", text=f"{n} riders share the wind " * 9) for n in range(30)]
    prepare(documents, name="d", source="t", output=tmp_path / "d", vocabulary=300, held_out=0.5)
    return TokenDataset.open(tmp_path / "d", sequence_length=8, verify=True, held_out=True)


@pytest.fixture
def evaluation(held_out: TokenDataset, tmp_path: Path) -> Callable[..., Evaluation]:
    def make(engine: Ranks, rank: int = 0, **settings: Any) -> Evaluation:
        recipe = Recipe.model_validate(
            {
                "name": "test",
                "description": "test",
                "model": {"preset": "debug"},
                "data": {"sequence_length": 8},
                "batch": {"tokens": 8 * 12, "micro_sequences": 2},
                "optimizer": {"learning_rate": 0.1},
                "schedule": {"steps": 7},
                "evaluation": {"every": 3, "sequences": 5} | settings,
            }
        )
        engine.rank = rank
        return Evaluation(
            recipe=recipe,
            engine=engine,  # type: ignore[arg-type]
            held_out=held_out,
            tasks=[TASK],
            layout=derive(recipe, engine.world_size),
            rank=rank,
            journal=Journal(tmp_path / f"journal-{rank}", run="t", producer=f"rank-{rank}", node="n", rank=rank),
            progress=Progress(os.memfd_create("test-progress")),
            speaks=rank == 0,
        )

    return make


def at(step: int) -> TrainerState:
    return TrainerState(step=step, tokens=0, next_index=0, ledger="0" * 64)


def test_the_mean_over_the_first_windows_in_nats_and_bits_per_byte(
    evaluation: Callable[..., Evaluation], held_out: TokenDataset, tmp_path: Path
) -> None:
    evaluation(Ranks(1)).begin(at(0))
    (event,) = [e for e in Follower(tmp_path / "journal-0").poll() if isinstance(e, EvaluationFinished)]
    expected = np.mean([held_out.window(n)[1:] for n in range(5)])
    manifest = held_out.manifest
    assert (event.step, event.loss, event.tokens) == (0, pytest.approx(expected), 40)
    bits = expected / math.log(2) * sum(shard.tokens for shard in manifest.held_out) / manifest.held_out_bytes
    assert event.bits_per_byte == pytest.approx(bits)


def test_the_likeliest_answer_counts(evaluation: Callable[..., Evaluation], tmp_path: Path) -> None:
    evaluation(Ranks(1)).begin(at(0))
    (event,) = [e for e in Follower(tmp_path / "journal-0").poll() if isinstance(e, EvaluationFinished)]
    assert event.tasks["numbers"].accuracy == 1.0  # token 1 costs 1 nat, token 200 costs 200


def test_it_happens_at_its_steps_and_is_booked_as_evaluation(
    evaluation: Callable[..., Evaluation], tmp_path: Path
) -> None:
    one = evaluation(Ranks(1))
    one.begin(at(4))  # a run that goes on
    losses = [one.after_step(at(step)).held_out_loss if one.is_due(step) else None for step in range(5, 8)]
    events = Follower(tmp_path / "journal-0").poll()
    told = {e.step: e.loss for e in events if isinstance(e, EvaluationFinished)}
    assert losses == [told.get(step) for step in (5, 6, 7)] and list(told) == [6, 7]
    phases = [e.activity for e in events if isinstance(e, PhaseChanged)]
    assert phases == [Activity.EVALUATION, Activity.PRODUCTIVE] * 2


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_share_the_windows_and_none_is_taken_twice(
    evaluation: Callable[..., Evaluation], held_out: TokenDataset, world_size: int
) -> None:
    engine = Ranks(world_size)
    for rank in range(world_size):
        evaluation(engine, rank).begin(at(0))
    assert len({len(passes) for passes in engine.passes}) == 1  # a collective each
    shapes = {batch.targets.shape for passes in engine.passes for batch in passes}
    assert shapes == {(2, 8)}
    rows = [row.tolist() for passes in engine.passes for batch in passes for row in batch.targets]
    whole = [row for row in rows if IGNORED not in row]
    assert sorted(whole) == sorted(held_out.window(n)[1:].tolist() for n in range(5))
