"""Steps of several recipes in one process, by turns, timed in processor seconds: what else runs hardly changes them.

One rank on a CPU with one thread, forward, backward and update, as engines/torch computes them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch

from paceline.data.loader import MicroBatch
from paceline.engines.objectives.registry import objective
from paceline.engines.torch.accumulation import Accumulation
from paceline.engines.torch.mesh import Mesh
from paceline.engines.torch.optimizer import ShardedAdamW
from paceline.engines.torch.parallelize import build
from paceline.engines.torch.process_group import join_alone, leave
from paceline.models.registry import blueprint
from paceline.plan.layout import derive
from paceline.recipe.schema import Recipe


class _Steps:
    """One recipe, ready to take steps on tokens that are all alike."""

    def __init__(self, recipe: Recipe, device: str, vocabulary: int) -> None:
        self._layout, plan = derive(recipe, 1), blueprint(recipe.model, vocabulary)
        mesh = Mesh.of(self._layout, device)
        stages = build(plan, recipe, mesh, seed=0)
        self._count = recipe.batch.tokens
        self._passes = Accumulation(stages[0].model, None, mesh, objective=objective(recipe), vocabulary=vocabulary)
        self._optimizer = ShardedAdamW(stages, recipe.optimizer, plan.sharding)
        ids = torch.zeros(self._layout.micro_sequences, recipe.data.sequence_length, dtype=torch.int64)
        self._batch = MicroBatch(inputs=ids, targets=ids, documents=None)

    def take(self) -> float:
        """The processor seconds of one."""
        started = time.process_time()
        self._passes.run([self._batch] * self._layout.micro_steps, self._count)
        self._optimizer.step(
            learning_rate=0.0, gradient_norm=self._optimizer.squared_gradient_norm(), gradient_clip=1.0
        )
        return time.process_time() - started


def processor_seconds(recipes: Sequence[Recipe], *, rounds: int, vocabulary: int) -> list[float]:
    """Of each recipe's step, the median of so many rounds; one before them, in which caches fill, does not count."""
    torch.set_num_threads(1)
    device = join_alone()
    try:
        all_of_them = [_Steps(recipe, device, vocabulary) for recipe in recipes]
        taken = [[steps.take() for steps in all_of_them] for _ in range(rounds + 1)]
        return [statistics.median(found) for found in zip(*taken[1:], strict=True)]
    finally:
        leave()
