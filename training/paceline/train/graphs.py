"""Whether the graphs that were compiled ahead are those that the run needs."""

from __future__ import annotations

from pathlib import Path

from paceline.graphs.cache import modules, tally
from paceline.graphs.store import expected
from paceline.journal.writer import Journal
from paceline.spec.events import CompileMissed, GraphsCounted
from paceline.spec.manifest import TrainerState
from paceline.train.callbacks import Callback, StepFigures


class GraphWatch(Callback):
    """Looks after every step which graphs have come into the node's `cache`; made before the engine is built, by one
    rank of a node."""

    def __init__(self, cache: Path, journal: Journal) -> None:
        self._cache, self._journal = cache, journal
        self._expected = expected(cache)
        self._known = set(modules(cache))
        self._counted = False

    def begin(self, trainer: TrainerState) -> None:
        self._tell(trainer.step)

    def after_step(self, trainer: TrainerState, figures: StepFigures) -> None:
        self._tell(trainer.step)
        if not self._counted:
            self._counted = True
            found = tally(self._cache, self._expected)
            self._journal.emit(
                GraphsCounted, step=trainer.step, expected=found.expected, hit=found.hit, missed=found.missed
            )

    def end(self, trainer: TrainerState) -> None:
        self._tell(trainer.step)

    def _tell(self, step: int) -> None:
        for module in modules(self._cache).keys() - self._known:
            self._known.add(module)
            self._journal.emit(CompileMissed, step=step, module=module)
