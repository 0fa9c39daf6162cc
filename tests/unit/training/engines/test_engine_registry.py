from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import get_args

from paceline.engines.registry import ENGINES, create
from paceline.recipe.engines import engines
from paceline.recipe.schema import Recipe


def test_every_engine_that_a_recipe_may_name_can_be_created() -> None:
    assert set(get_args(Recipe.model_fields["engine"].annotation)) == set(ENGINES)
    for name in ENGINES:
        if find_spec(engines()[name].needs) is not None:
            assert create(name).name == name


def test_the_protocol_and_the_registry_start_without_torch() -> None:
    code = "import sys, paceline.engines.base, paceline.engines.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
