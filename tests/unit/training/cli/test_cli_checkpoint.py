"""`paceline checkpoint`: models in and out, as a person and as a program see it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from paceline.checkpoint.huggingface import create_weights, write_json
from paceline.cli.main import app
from tests.tiny_models import TINY


def paceline(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["checkpoint", *map(str, arguments)])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "a-mixtral"
    directory.mkdir()
    create_weights(directory, TINY["mixtral"], "F32", 20_000)
    write_json(directory / "config.json", TINY["mixtral"].to_hugging_face())
    return directory


def test_a_model_goes_in_and_comes_out(model: Path, tmp_path: Path) -> None:
    manifest = json.loads(paceline("import", model, tmp_path / "root", "-o", "json").stdout)
    assert (manifest["run"], manifest["step"], len(manifest["files"])) == ("a-mixtral", 0, 7)
    assert paceline("ls", tmp_path / "root").stdout.splitlines()[1].split()[0] == "0"
    assert json.loads(paceline("verify", tmp_path / "root", "-o", "json").stdout)["verified"]

    out = tmp_path / "out"
    exported = json.loads(paceline("export", tmp_path / "root", out, "--dtype", "bfloat16", "-o", "json").stdout)
    assert exported["step"] == 0
    assert exported["files"] == {path.name: path.stat().st_size for path in out.iterdir()}
    assert json.loads((out / "config.json").read_text())["torch_dtype"] == "bfloat16"


def test_for_people_it_is_one_line_in_and_a_table_out(model: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    assert re.fullmatch(
        rf"file://{root}/step-00000000: 7 files, [\d,]+ bytes\n", paceline("import", model, root).stdout
    )
    lines = paceline("export", root, tmp_path / "out", "--max-file-gib", "1e-5").stdout.splitlines()
    assert lines[0].split() == ["FILE", "BYTES"]
    assert sum("safetensors" in line for line in lines) > 3


def test_a_mistake_is_a_message(tmp_path: Path) -> None:
    result = paceline("import", tmp_path / "nothing", tmp_path / "root")
    assert result.exit_code == 1
    assert f"error: {tmp_path}/nothing/config.json: missing" in result.stderr
    result = paceline("export", tmp_path / "root", tmp_path / "out")
    assert result.exit_code == 1
    assert "no checkpoint here" in result.stderr
    assert paceline("export", tmp_path / "root", tmp_path / "out", "--dtype", "int8").exit_code == 2
