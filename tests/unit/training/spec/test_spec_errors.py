"""The exception tree: what a person reads, and the exit code."""

from __future__ import annotations

import pytest

from paceline.spec import errors
from paceline.spec.errors import ClusterError, DeployError, PacelineError, Problem, RecipeError


def test_renders_the_message_and_the_hint() -> None:
    assert RecipeError("a.yaml:3: x: unknown field", "did you mean `y`?").render() == (
        "error: a.yaml:3: x: unknown field\n\nhint: did you mean `y`?"
    )


def test_renders_no_empty_hint() -> None:
    assert RecipeError("broken").render() == "error: broken"


def test_holds_several_problems_in_order() -> None:
    error = RecipeError.of([Problem(message="first", hint="cure"), Problem(message="second")])

    assert isinstance(error, RecipeError)
    assert error.render() == "error: first\n\nhint: cure\n\nerror: second"
    assert str(error) == "first\nsecond"


@pytest.mark.parametrize(
    ("leaf", "code"), [(RecipeError, 1), (errors.DataError, 1), (DeployError, 3), (ClusterError, 3), (PacelineError, 1)]
)
def test_exit_codes(leaf: type[PacelineError], code: int) -> None:
    assert leaf("x").exit_code == code
