"""`paceline checkpoint`: models in and out, as a person and as a program see it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from paceline.checkpoint.huggingface import create_weights, write_json
from paceline.checkpoint.repository import CheckpointRepository
from paceline.cli.main import app
from paceline.clients.object_store import DirectoryStore
from paceline.spec.manifest import CheckpointManifest, TrainerState
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


def test_a_model_is_written_once_more_in_another_type(model: Path, tmp_path: Path) -> None:
    converted = json.loads(paceline("convert", model, tmp_path / "out", "--dtype", "bfloat16", "-o", "json").stdout)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["torch_dtype"] == "bfloat16"
    weights = {name: size for name, size in converted["files"].items() if name.endswith(".safetensors")}
    assert sum(weights.values()) < sum(path.stat().st_size for path in model.glob("*.safetensors"))
    again = paceline("convert", model, tmp_path / "out")
    assert again.exit_code == 1 and "exists already" in again.stderr


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


def test_old_checkpoints_are_removed_after_the_newest_was_verified(tmp_path: Path) -> None:
    repository = CheckpointRepository(DirectoryStore(tmp_path))
    for step in (1, 2, 3):
        commit(repository, step)
    planned = json.loads(paceline("prune", tmp_path, "--keep", "1", "--dry-run", "-o", "json").stdout)
    assert planned == {"removed": [2, 1], "kept": [3], "dry_run": True}
    assert repository.steps() == [3, 2, 1]
    assert paceline("prune", tmp_path, "--keep", "2").stdout == "removed 1 checkpoints\n  step 1\n"
    assert repository.steps() == [3, 2]
    repository.store.put("step-00000003/rank-00000.generation-0000.safetensors", b"damaged")
    assert paceline("prune", tmp_path, "--keep", "1").exit_code == 1
    assert repository.steps() == [3, 2], "nothing older is removed while the newest is worthless"


def test_every_checkpoint_is_looked_at_and_each_that_is_damaged_is_told(tmp_path: Path) -> None:
    repository = CheckpointRepository(DirectoryStore(tmp_path))
    for step in (1, 2, 3):
        commit(repository, step)
    assert paceline("verify", tmp_path, "--all").exit_code == 0
    repository.store.put("step-00000002/rank-00000.generation-0000.safetensors", b"damaged")
    repository.store.put("step-00000001/manifest.json", b"{")
    assert json.loads(paceline("verify", tmp_path, "-o", "json").stdout)["verified"], "the newest is fine"
    result = paceline("verify", tmp_path, "--all", "-o", "json")
    assert result.exit_code == 1
    assert [(r["step"], r["verified"]) for r in json.loads(result.stdout)] == [(3, True), (2, False), (1, False)]
    assert "step-00000002" in result.stderr and "step-00000001" in result.stderr
    assert paceline("verify", tmp_path, "--all", "--step", "1").exit_code == 2


def test_a_damaged_manifest_does_not_hide_the_others(tmp_path: Path) -> None:
    repository = CheckpointRepository(DirectoryStore(tmp_path))
    for step in (1, 2):
        commit(repository, step)
    repository.store.put("step-00000002/manifest.json", b"{")
    result = paceline("ls", tmp_path, "-o", "json")
    assert [m["step"] for m in json.loads(result.stdout)] == [1]
    assert "step-00000002: the manifest is damaged" in result.stderr


def commit(repository: CheckpointRepository, step: int) -> None:
    repository.commit(
        CheckpointManifest(
            run="test",
            created=datetime(2026, 11, 21, tzinfo=UTC),
            step=step,
            recipe_sha256=None,
            image_digest=None,
            data_order=None,
            world_size=1,
            layout={},
            trainer=TrainerState(step=step, tokens=0, next_index=0, ledger="0" * 64),
            files=(repository.put_shard(step, 0, b"x", generation=0),),
        )
    )
