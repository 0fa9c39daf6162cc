"""A torch engine in a world of one, through the same code as any other world."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from paceline.engines.base import RankContext, Rendezvous
from paceline.engines.torch.engine import TorchEngine
from paceline.recipe.schema import Batch, DataChoice, ModelChoice, Optimizer, Recipe, Schedule

VOCABULARY = 96


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        name="small",
        description="four sequences of sixteen tokens, in two passes",
        model=ModelChoice(preset="debug"),
        data=DataChoice(sequence_length=16),
        batch=Batch(tokens=64, micro_sequences=2),
        optimizer=Optimizer(learning_rate=1e-3, gradient_clip=0.5),
        schedule=Schedule(steps=4),
        seed=3,
    )


@pytest.fixture
def start(recipe: Recipe) -> Iterator[Callable[..., TorchEngine]]:
    """Sets up and builds an engine, new or given, in a generation of its own; torn down after the test."""
    started: list[TorchEngine] = []

    def begin(*, initialise: bool = True, engine: TorchEngine | None = None) -> TorchEngine:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        rendezvous = Rendezvous(host="127.0.0.1", port=port, listen_fd=listener.detach())
        context = RankContext(rank=0, world_size=1, generation=len(started), rendezvous=rendezvous)
        engine = engine or TorchEngine()
        engine.setup(recipe, VOCABULARY, context)
        started.append(engine)
        engine.build(initialise=initialise)
        return engine

    yield begin
    for engine in started:
        engine.teardown()
