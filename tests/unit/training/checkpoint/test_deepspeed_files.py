"""A universal checkpoint of DeepSpeed, there and back: nothing has changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from paceline.checkpoint.deepspeed_files import convert, read, write
from paceline.checkpoint.huggingface import write_json
from paceline.models.config import DecoderConfig
from paceline.spec.errors import CheckpointError
from tests.tiny_models import TINY

CONFIGS = [*TINY.values(), replace(TINY["llama"], tie_word_embeddings=True)]


def tensors(config: DecoderConfig) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    parameters = {name: torch.randn(shape, generator=generator) for name, shape in config.tensors().items()}
    moments = {
        f"optimizer.{kind}.{name}": tensor * factor
        for kind, factor in (("exp_avg", 0.5), ("exp_avg_sq", 0.25))
        for name, tensor in parameters.items()
    }
    return parameters | moments | {f"optimizer.step.{name}": torch.tensor(7.0) for name in parameters}


@pytest.mark.parametrize("zero", [2, 3])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.family)
def test_files_hold_a_model_and_its_optimizer(tmp_path: Path, config: DecoderConfig, zero: int) -> None:
    whole = tensors(config)
    write(tmp_path / "step_7", whole, config, zero=zero)
    back = read(tmp_path / "step_7", config)
    assert back.keys() == whole.keys()
    assert all(torch.equal(back[name], whole[name]) for name in whole)


def test_experts_that_are_parameters_of_their_own_are_found(tmp_path: Path) -> None:
    config = TINY["mixtral"]
    whole = tensors(config)
    write(tmp_path / "tag", whole, config, zero=2)
    for name in config.tensors():
        folder = tmp_path / "tag" / "zero" / name
        folder.mkdir(exist_ok=True)
        for kind, prefix in (("fp32", ""), ("exp_avg", "optimizer.exp_avg."), ("exp_avg_sq", "optimizer.exp_avg_sq.")):
            torch.save({"param": whole[prefix + name] + 1}, folder / f"{kind}.pt")
    back = read(tmp_path / "tag", config)
    assert all(torch.equal(back[name], whole[name] + 1) for name in config.tensors())


def test_a_model_becomes_a_hugging_face_directory(tmp_path: Path) -> None:
    config = TINY["llama"]
    whole = tensors(config)
    write(tmp_path / "tag", whole, config, zero=3)
    write_json(tmp_path / "tag" / "config.json", config.to_hugging_face())
    (tmp_path / "model").mkdir()
    convert(tmp_path / "tag", tmp_path / "model", largest_file=2**20, progress=lambda *_: None)
    [file] = (tmp_path / "model").glob("*.safetensors")
    written = load_file(file)
    assert written.keys() == config.tensors().keys()
    assert all(torch.equal(tensor, whole[name]) for name, tensor in written.items())


def test_what_ranks_have_left_is_refused_with_the_command_that_makes_it_universal(tmp_path: Path) -> None:
    (tmp_path / "zero_pp_rank_0_mp_rank_00_optim_states.pt").touch()
    with pytest.raises(CheckpointError, match="no universal checkpoint") as refused:
        read(tmp_path, TINY["llama"])
    assert "deepspeed.checkpoint.ds_to_universal" in (refused.value.problems[0].hint or "")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("model.norm.weight/fp32.pt", None, "missing, or not of this model"),
        ("model.norm.weight/exp_avg.pt", b"not a tensor", "damaged, or more than tensors"),
        ("model.norm.weight/exp_avg_sq.pt", torch.zeros(3), r"has shape \(3,\)"),
        ("optimizer_state.pt", {}, "does not say after how many steps"),
    ],
)
def test_what_is_not_whole_is_named(tmp_path: Path, file: str, content: object, said: str) -> None:
    config = TINY["llama"]
    write(tmp_path / "tag", tensors(config), config, zero=3)
    path = tmp_path / "tag" / "zero" / file
    if content is None:
        path.unlink()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=said) as refused:
        read(tmp_path / "tag", config)
    assert str(path) in refused.value.problems[0].message


class _Launches:
    """Runs when it is unpickled by somebody who trusts it."""

    def __reduce__(self) -> tuple[Callable[[str, str], object], tuple[str, str]]:
        return shutil.copyfile, (__file__, "launched")


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TINY["llama"]
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "tag", tensors(config), config, zero=3)
    path = tmp_path / "tag" / "zero" / "optimizer_state.pt"
    shared = torch.load(path) | {"loss_scaler": _Launches()}
    torch.save(shared, path)
    assert read(tmp_path / "tag", config)["optimizer.step.model.norm.weight"] == 7
    assert not (tmp_path / "launched").exists()
    torch.load(path, weights_only=False)
    assert (tmp_path / "launched").exists()
