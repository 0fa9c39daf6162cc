from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from paceline.engines.registry import ENGINES, create
from paceline.recipe.schema import Recipe
from paceline.spec.errors import LaunchError


@pytest.mark.parametrize("name", get_args(Recipe.model_fields["engine"].annotation))
def test_an_engine_that_a_recipe_may_name_is_created_or_refused_with_a_cure(name: str) -> None:
    try:
        assert create(name).name == name
    except LaunchError as error:
        assert name in str(error)
        assert error.problems[0].hint


def test_the_engine_that_every_installation_has_can_be_created() -> None:
    assert create("torch").name == "torch"


def test_no_engine_is_registered_that_no_recipe_may_name() -> None:
    assert set(ENGINES) <= set(get_args(Recipe.model_fields["engine"].annotation))


def test_the_protocol_and_the_registry_start_without_torch() -> None:
    code = "import sys, paceline.engines.base, paceline.engines.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
