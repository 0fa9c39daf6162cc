"""`paceline recipe`: what it prints for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from paceline.cli.main import app
from paceline.recipe.load import load


def paceline(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["recipe", *arguments])


def test_ls_names_and_describes() -> None:
    lines = paceline("ls").stdout.splitlines()

    assert lines[0].split() == ["NAME", "DESCRIPTION"]
    assert any(line.startswith("debug-llama ") for line in lines)


def test_ls_for_programs() -> None:
    listed = json.loads(paceline("ls", "-o", "json").stdout)

    assert {
        "name": "debug-llama",
        "description": load("debug-llama").recipe.description,
        "method": "pretrain",
        "model": "llama debug",
        "sequence_length": 256,
    } in listed


def test_show_prints_a_recipe_that_loads_as_the_same_one(tmp_path: Path) -> None:
    copy = tmp_path / "copy.yaml"
    copy.write_text(paceline("show", "debug-tiny", "--set", "seed=3").stdout)

    assert load(copy).sha256 == load("debug-tiny", ["seed=3"]).sha256


def test_show_for_programs_is_the_same_data() -> None:
    assert json.loads(paceline("show", "debug-tiny", "-o", "json").stdout) == yaml.safe_load(
        paceline("show", "debug-tiny").stdout
    )


def test_show_resolved_gives_each_value_its_origin() -> None:
    values = json.loads(paceline("show", "debug-tiny", "--resolved", "--set", "seed=3", "-o", "json").stdout)
    origins = {value["key"]: value["origin"] for value in values}

    assert origins["seed"] == "--set seed"
    assert origins["optimizer.name"] == "defaults"
    assert "debug-tiny.yaml:" in origins["data.sequence_length"]
    assert "debug-llama.yaml:" in origins["model.preset"]


def test_explain_gives_value_origin_and_meaning() -> None:
    heading, line = paceline("explain", "debug-tiny", "batch.tokens").stdout.splitlines()

    assert heading.split() == ["KEY", "VALUE", "ORIGIN", "MEANING"]
    assert line.split()[:2] == ["batch.tokens", "512"]
    assert line.endswith("tokens per optimizer step over all ranks")


@pytest.mark.parametrize("arguments", [("show", "debug-lama"), ("explain", "debug-tiny", "batch.tokns")])
def test_mistakes_exit_with_1_and_print_no_data(arguments: tuple[str, ...]) -> None:
    result = paceline(*arguments)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "hint: did you mean" in result.stderr


def test_show_on_an_instance_type_is_what_the_switch_gives() -> None:
    arguments = ("show", "llama3-70b-pretrain", "--resolved", "--on", "trn2.48xlarge", "--nodes", "8", "-o", "json")
    values = {value["key"]: value for value in json.loads(paceline(*arguments).stdout)}

    assert values["engine"]["value"] == "nxd"
    assert values["engine"]["origin"].startswith("accelerators.yaml:")
    assert (values["parallelism.tp"]["value"], values["parallelism.pp"]["value"]) == (32, 4)
    assert "llama3-70b-pretrain.yaml:" in values["parallelism.tp"]["origin"]


def test_diff_prints_both_sides_with_their_origins() -> None:
    heading, *lines = paceline("diff", "debug-llama", "debug-mistral").stdout.splitlines()

    assert heading.split() == ["KEY", "DEBUG-LLAMA", "ORIGIN", "DEBUG-MISTRAL", "ORIGIN"]
    assert [line.split()[:4] for line in lines] == [["model.family", '"llama"', "defaults", '"mistral"']]


def test_diff_for_programs() -> None:
    [found] = json.loads(paceline("diff", "debug-llama", "debug-mistral", "-o", "json").stdout)

    assert (found["key"], found["left"]["value"], found["right"]["value"]) == ("model.family", "llama", "mistral")


def test_explain_without_a_recipe_says_what_a_field_may_be() -> None:
    [field] = json.loads(paceline("explain", "compute.attention", "-o", "json").stdout)

    assert (field["default"], "nki_flash" in field["type"]) == ('"sdpa"', True)
