"""The switch: what an accelerator gives, who overrides whom, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline.images.environment import read_environment
from paceline.recipe.load import Resolved, load
from paceline.recipe.resolve import TABLE, reason
from paceline.spec.documents import read
from paceline.spec.errors import RecipeError

IMAGES = Path(__file__).parents[4] / "images"

DELTA = """\
version: 2
base: debug-llama
accelerator: gpu
parallelism:
  pp: 2
  trainium: {tp: 4}
"""


@pytest.fixture
def delta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "delta.yaml"
    path.write_text(DELTA)
    return path


def origins(resolved: Resolved) -> dict[str, str]:
    return {value.path: str(value.origin) for value in resolved.values()}


def refused(*overrides: str, recipe: str | Path = "debug-llama") -> str:
    with pytest.raises(RecipeError) as caught:
        load(recipe, overrides)
    return caught.value.render()


def test_without_an_accelerator_nothing_is_given() -> None:
    recipe = load("debug-llama").recipe

    assert (recipe.accelerator, recipe.engine, recipe.platform.image) == (None, "torch", None)
    assert recipe.platform.processes_per_node is None


@pytest.mark.parametrize(
    ("choice", "engine", "image", "processes", "precision", "attention", "zero"),
    [
        ("accelerator=cpu", "torch", "cpu", None, "float32", "sdpa", 3),
        ("accelerator=gpu", "torch", "gpu", 8, "bfloat16", "sdpa", 3),
        ("instance=p4d.24xlarge", "torch", "gpu", 8, "bfloat16", "sdpa", 3),
        ("accelerator=trainium", "nxd", "trainium", 64, "bfloat16", "nki_flash", 1),
        ("instance=trn1.32xlarge", "nxd", "trainium", 32, "bfloat16", "nki_flash", 1),
    ],
)
def test_one_line_gives_everything_that_depends_on_it(
    choice: str, engine: str, image: str, processes: int | None, precision: str, attention: str, zero: int
) -> None:
    recipe = load("debug-llama", [choice]).recipe

    assert (recipe.engine, recipe.platform.image, recipe.platform.processes_per_node) == (engine, image, processes)
    assert (recipe.compute.precision, recipe.compute.attention) == (precision, attention)
    assert recipe.parallelism.zero == zero
    assert recipe.compute.static_shapes == recipe.platform.compile_ahead == (engine == "nxd")


def test_an_instance_type_implies_its_accelerator_and_its_variables() -> None:
    one = load("debug-llama", ["instance=trn1.32xlarge"]).recipe
    two = load("debug-llama", ["instance=trn2.48xlarge"]).recipe

    assert one.accelerator == two.accelerator == "trainium"
    assert "NEURON_LOGICAL_NC_CONFIG" not in one.platform.environment
    assert two.platform.environment["NEURON_LOGICAL_NC_CONFIG"] == "2"
    assert "--target=trn2" in two.platform.environment["NEURON_CC_FLAGS"]


def test_what_is_written_goes_before_the_switch_and_the_switch_before_defaults(delta: Path) -> None:
    resolved = load(delta, ["compute.precision=float32"])
    found = origins(resolved)

    assert resolved.recipe.compute.precision == "float32"
    assert found["compute.precision"] == "--set compute.precision"
    assert found["compute.attention"].startswith("accelerators.yaml:")
    assert found["platform.processes_per_node"] == "catalog: p5.48xlarge"
    assert found["accelerator"] == "delta.yaml:3"
    assert found["compute.compile"] == "defaults"


def test_accelerator_and_instance_unsay_each_other_from_layer_to_layer(delta: Path) -> None:
    assert load(delta, ["instance=trn1.32xlarge"]).recipe.accelerator == "trainium"
    assert load(delta, ["instance=trn1.32xlarge", "accelerator=gpu"]).recipe.instance == "p5.48xlarge"


def test_in_one_file_they_must_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("both.yaml").write_text("version: 2\nbase: debug-llama\naccelerator: gpu\ninstance: trn1.32xlarge\n")

    message, hint = refused(recipe="./both.yaml").split("\n\n")
    assert message == "error: both.yaml:4: instance: trn1.32xlarge is a trainium, and accelerator is gpu"
    assert hint == "hint: write one of the two"


def test_degrees_of_an_accelerator_go_over_those_for_all(delta: Path) -> None:
    on_gpu, on_trainium = load(delta), load(delta, ["accelerator=trainium"])

    assert (on_gpu.recipe.parallelism.tp, on_gpu.recipe.parallelism.pp) == (1, 2)
    assert (on_trainium.recipe.parallelism.tp, on_trainium.recipe.parallelism.pp) == (4, 2)
    assert origins(on_trainium)["parallelism.tp"] == "delta.yaml:6"


def test_auto_leaves_all_degrees_to_the_planner_whatever_was_written_below(delta: Path) -> None:
    chosen = load(delta, ["parallelism.trainium=auto", "accelerator=trainium"]).recipe.parallelism

    assert (chosen.auto, chosen.tp, chosen.pp) == (True, 1, 1)
    assert not load(delta, ["parallelism.trainium=auto"]).recipe.parallelism.auto


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("accelerator=tpu", "accelerator: unknown: tpu"),
        ("instance=p5.48xlarg", "did you mean `p5.48xlarge`?"),
        ("instance=trn3-gen1", "the catalog does not know how many processes trn3-gen1 runs"),
        ("parallelism.trainium.pt=4", "parallelism.trainium.pt: pt: unknown field"),
        ("parallelism.trainium=4", "parallelism.trainium: neither degrees nor `auto`"),
        ("parallelism=atuo", "parallelism: input should be a valid dictionary"),
    ],
)
def test_mistakes_are_found_on_any_accelerator(override: str, message: str) -> None:
    assert message in refused(override)


def test_every_variable_has_a_reason_and_none_repeats_an_image() -> None:
    table = read(TABLE, RecipeError).data
    given = [*table["trainium"]["platform"]["environment"], *table["instances"]["trn2"]["platform"]["environment"]]
    of_image = {variable.name for variable in read_environment(IMAGES / "trainium" / "environment")}

    assert set(given) == set(table["reasons"])
    assert not of_image & set(given)
    value = load("debug-llama", ["accelerator=trainium"]).explain("platform.environment.NEURON_RT_EXEC_TIMEOUT")[0]
    assert value.meaning == reason("NEURON_RT_EXEC_TIMEOUT")
