"""The one way to extend the loop: what is done between steps, beside training.

A recipe names its own as `callbacks: ["my_module:MyCallback"]`; the class is made without arguments, once on each rank.
Methods are called on every rank in the same order, so a callback may use collectives if it does so on all. Time that
they take is not booked to the step. What they raise ends the run, as an error in a step does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from paceline.spec.errors import RecipeError
from paceline.spec.manifest import TrainerState


@dataclass(frozen=True, kw_only=True, slots=True)
class StepFigures:
    """One optimizer step, equal on all ranks but for its times. `loss` and `gradient_norm` as in engines.base.StepOut;
    `seconds` is the whole step, `data_seconds` its wait for input."""

    loss: float
    gradient_norm: float
    learning_rate: float
    tokens: int
    seconds: float
    data_seconds: float


class Callback:
    """Does nothing; override what is needed."""

    def begin(self, trainer: TrainerState) -> None:
        """Before the first step of this generation; `trainer` is where it starts from."""

    def before_step(self, trainer: TrainerState) -> None:
        """Before the step that follows `trainer`."""

    def after_step(self, trainer: TrainerState, figures: StepFigures) -> None:
        """After the update that led to `trainer`."""

    def end(self, trainer: TrainerState) -> None:
        """After the last step of this generation, if it ends by itself."""


def load(names: Sequence[str]) -> list[Callback]:
    """The callbacks that a recipe names; RecipeError for a name that leads to none."""
    found = []
    for name in names:
        module, colon, attribute = name.partition(":")
        try:
            made = getattr(import_module(module), attribute)() if colon else None
        except (ImportError, AttributeError, TypeError) as cause:
            raise RecipeError(f"callbacks: {name}: {cause}", "write module:Class, importable by the workers") from cause
        if not isinstance(made, Callback):
            hint = "write module:Class, a class derived from paceline.train.callbacks.Callback"
            raise RecipeError(f"callbacks: {name}: not a callback", hint)
        found.append(made)
    return found
