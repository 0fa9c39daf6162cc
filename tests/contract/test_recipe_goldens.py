"""Every shipped recipe on every accelerator: it resolves and finds a layout, or is refused with its reason.

The tables are read by people when they change: `python tests/contract/test_recipe_goldens.py` writes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from paceline.models.families import FAMILIES
from paceline.plan.auto import bytes_per_rank, fewest_nodes
from paceline.plan.hardware import GIB, Hardware
from paceline.plan.layout import Layout, derive
from paceline.plan.rate import published
from paceline.plan.step_time import step_time
from paceline.recipe.load import load, names
from paceline.recipe.schema import Recipe
from paceline.spec.errors import RecipeError

GOLDENS = Path(__file__).parent / "goldens"
MACHINES = (
    "p4d.24xlarge",
    "p5.48xlarge",
    "p5en.48xlarge",
    "p6-b200.48xlarge",
    "trn1.32xlarge",
    "trn2.48xlarge",
    "cpu",
)


def cell(name: str, machine: str) -> dict[str, Any]:
    """On the fewest nodes that are enough."""
    try:
        choice = "accelerator=cpu" if machine == "cpu" else f"instance={machine}"
        nodes, resolved = fewest_nodes(load(name, [choice]), most=256)
        recipe = resolved.recipe
        layout = derive(recipe, nodes * (recipe.platform.processes_per_node or 1))
    except RecipeError as cause:
        return {"refused": [problem.message.rpartition(".yaml:")[2] for problem in cause.problems]}
    compute = f"{recipe.engine} {recipe.compute.precision} {recipe.compute.attention}"
    chosen = {"nodes": nodes, "layout": layout.degrees, "passes": layout.micro_steps, "compute": compute}
    return chosen | {"GiB": round(bytes_per_rank(recipe, layout) / GIB, 1), "seconds": seconds(recipe, layout)}


def seconds(recipe: Recipe, layout: Layout) -> float | str:
    """Of a step, to three digits, if a published run says how fast the machine is."""
    width = FAMILIES[recipe.model.family].preset(recipe.model.preset).hidden_size
    rate = None if recipe.instance is None else published(recipe.instance, recipe.compute.precision, width)
    if recipe.instance is None or rate is None:
        return "no published run"
    timed = step_time(recipe, layout, Hardware.of(recipe.instance), rate.flops_per_second)
    return float(f"{timed.total:.3g}")


def table(name: str) -> str:
    rows = {machine: cell(name, machine) for machine in MACHINES}
    return yaml.safe_dump(rows, sort_keys=False, default_flow_style=None, width=160)


@pytest.mark.parametrize("name", names())
def test_a_shipped_recipe_is_on_every_machine_what_its_table_says(name: str) -> None:
    assert table(name) == (GOLDENS / f"{name}.yaml").read_text(encoding="utf-8")


def test_there_is_no_table_of_a_recipe_that_is_gone() -> None:
    assert sorted(path.stem for path in GOLDENS.iterdir()) == names()


@pytest.mark.parametrize("name", names())
def test_the_same_step_is_taken_on_every_accelerator(name: str) -> None:
    """Tokens, order, schedule and seed do not depend on where a recipe runs."""
    steps = set()
    for accelerator in ("cpu", "gpu", "trainium"):
        try:
            recipe = load(name, [f"accelerator={accelerator}"]).recipe
        except RecipeError:
            continue
        same = recipe.data, recipe.batch.tokens, recipe.schedule, recipe.optimizer, recipe.seed, recipe.model
        steps.add(repr(same))
    assert len(steps) == 1


if __name__ == "__main__":
    for recipe_name in names():
        (GOLDENS / f"{recipe_name}.yaml").write_text(table(recipe_name), encoding="utf-8")
