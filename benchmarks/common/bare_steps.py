"""In a supervised worker: after every few steps of the run as many of its engine's, and nothing else.

Both kinds share the process, the cores, the batches and the minute, so that what else the machine does falls on both.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paceline.engines.base import MicroBatch, StepOut
from paceline.engines.torch.engine import TorchEngine
from paceline.spec.manifest import TrainerState
from paceline.train.callbacks import Callback, StepFigures

ENV_FILE = "PACELINE_BENCHMARK_STEPS"
"""Where a line is added after every block, as JSON: by clock, the seconds of its steps of the run, and of its bare
ones. `wall` also counts what else the machine does meanwhile, `trainer` only what this thread computes."""

Times = tuple[float, float]  # by both clocks

BLOCK = 5  # of which the first is dropped: it is taken while, or instead of while, a snapshot is copied


class BareSteps(Callback):
    """For runs on one rank. It takes its bare steps at a learning rate of 0, with the batch of the last step."""

    def __init__(self) -> None:
        self._file = Path(os.environ[ENV_FILE])
        self._supervised: list[Times] = []
        self._mark = time.thread_time()
        self._engine: TorchEngine
        self._passes: Sequence[MicroBatch]
        original = TorchEngine.train_step

        def remembered(engine: TorchEngine, microbatches: Sequence[MicroBatch], **rest: Any) -> StepOut:
            self._engine, self._passes = engine, microbatches
            return original(engine, microbatches, **rest)

        TorchEngine.train_step = remembered  # type: ignore[method-assign, assignment]  # callbacks do not get the engine

    def after_step(self, trainer: TrainerState, figures: StepFigures) -> None:
        self._supervised.append((figures.seconds, time.thread_time() - self._mark))
        if len(self._supervised) == BLOCK:
            bare = [self._take() for _ in range(BLOCK)]
            self._engine.seal()  # the sentinel knows nothing of these
            block = {
                clock: [[times[place] for times in steps[1:]] for steps in (self._supervised, bare)]
                for place, clock in enumerate(("wall", "trainer"))
            }
            with self._file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(block) + "\n")
            self._supervised = []
        self._mark = time.thread_time()

    def _take(self) -> Times:
        started, computed = time.perf_counter(), time.thread_time()
        out = self._engine.train_step(
            self._passes, learning_rate=0.0, totals=np.zeros(1, dtype=np.int64), before_update=lambda: None
        )
        out.loss.result()
        out.gradient_norm.result()
        return time.perf_counter() - started, time.thread_time() - computed
