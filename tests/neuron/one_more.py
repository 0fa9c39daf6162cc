"""A callback of a recipe: on the way to step 2 a run has a graph compiled that nobody expected."""

from __future__ import annotations

import os
from pathlib import Path

from paceline.spec.manifest import TrainerState
from paceline.train.callbacks import Callback
from tests.neuron.compiler import compiled

MODULE = "MODULE_277942fefc2990a108db+39f12043"


class OneMore(Callback):
    def before_step(self, trainer: TrainerState) -> None:
        if trainer.step == 1:
            compiled(Path(os.environ["NEURON_COMPILE_CACHE_URL"]), MODULE)
