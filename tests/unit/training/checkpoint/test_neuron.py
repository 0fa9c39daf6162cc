"""Whatever the form of a checkpoint of NeuronX Distributed: there and back nothing has changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from paceline.checkpoint.huggingface import write_json
from paceline.checkpoint.neuron import Form, deal, from_ranks, gather, infer, to_ranks
from paceline.checkpoint.neuron_files import convert, read, write
from paceline.models.config import DecoderConfig
from paceline.models.llama.config import LlamaConfig
from paceline.models.qwen2.config import Qwen2Config
from paceline.spec.errors import CheckpointError

SIZES = {
    "vocab_size": 16,
    "hidden_size": 6,
    "intermediate_size": 8,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "initializer_range": 0.3,
}
CONFIGS: list[DecoderConfig] = [LlamaConfig(**SIZES), Qwen2Config(**SIZES, tie_word_embeddings=True)]


def forms() -> st.SearchStrategy[Form]:
    """Copies follow from tp: eight ranks hold each of two heads four times."""
    return st.builds(
        lambda tp, pp, adjacent, qkv, gate_up: Form(
            tp=tp, pp=pp, kv_copies=max(tp // 2, 1), adjacent=adjacent, fused_qkv=qkv, fused_gate_up=gate_up
        ),
        st.sampled_from([1, 2, 4, 8]),
        st.sampled_from([1, 2, 3]),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    )


def tensors(config: DecoderConfig) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in config.tensors().items()}


def with_optimizer(config: DecoderConfig) -> dict[str, torch.Tensor]:
    parameters = tensors(config)
    moments = {
        f"optimizer.{kind}.{name}": tensor * factor
        for kind, factor in (("exp_avg", 0.5), ("exp_avg_sq", 0.25))
        for name, tensor in parameters.items()
    }
    return parameters | moments | {f"optimizer.step.{name}": torch.tensor(7.0) for name in parameters}


@given(config=st.sampled_from(CONFIGS), form=forms())
def test_ranks_hold_all_of_a_model(config: DecoderConfig, form: Form) -> None:
    whole = tensors(config)
    back = from_ranks(to_ranks(whole, config, form), config, form)
    assert back.keys() == whole.keys()
    assert all(torch.equal(back[name], whole[name]) for name in whole)


@given(config=st.sampled_from(CONFIGS), form=forms())
def test_a_form_is_told_from_what_ranks_hold(config: DecoderConfig, form: Form) -> None:
    whole = tensors(config)
    found = infer(to_ranks(whole, config, form), config)
    # one form may have several names: what matters is that it is read right
    back = from_ranks(to_ranks(whole, config, form), config, found)
    assert all(torch.equal(back[name], whole[name]) for name in whole)


@given(form=forms())
def test_queries_are_beside_the_keys_that_they_attend_to(form: Form) -> None:
    config = CONFIGS[0]
    heads = {
        f"model.layers.0.self_attn.{x}_proj.weight": torch.arange(count).repeat_interleave(2)[:, None].float()
        for x, count in (("q", 8), ("k", 2), ("v", 2))
    }
    plain = Form(tp=form.tp, pp=1, kv_copies=form.kv_copies, adjacent=form.adjacent)
    for held in to_ranks(heads, config, plain).values():
        queries, keys, _ = (tensor.flatten().unique() for tensor in held.values())
        assert {int(query) // 4 for query in queries} == {int(key) for key in keys}


@given(rows=st.integers(1, 9), columns=st.sampled_from([(), (3,)]), ranks=st.integers(1, 5))
def test_what_is_dealt_is_gathered(rows: int, columns: tuple[int, ...], ranks: int) -> None:
    tensor = torch.randn(rows, *columns)
    chunks = deal(tensor, ranks)
    assert len({chunk.shape for chunk in chunks}) == 1 and len(chunks) == ranks
    assert torch.equal(gather(chunks, tensor.shape), tensor)


@pytest.mark.parametrize("form", [Form(), Form(tp=4, pp=2, kv_copies=2, adjacent=False, fused_qkv=True)])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.family)
def test_files_hold_a_model_and_its_optimizer(tmp_path: Path, config: DecoderConfig, form: Form) -> None:
    whole = with_optimizer(config)
    write(tmp_path / "step_7", whole, config, form, dp=3)
    back = read(tmp_path / "step_7", config)
    assert back.keys() == whole.keys()
    assert all(torch.equal(back[name], whole[name]) for name in whole)


def test_a_model_becomes_a_hugging_face_directory(tmp_path: Path) -> None:
    whole = tensors(CONFIGS[0])
    write(tmp_path / "tag", whole, CONFIGS[0], Form(tp=2), dp=1)
    write_json(tmp_path / "tag" / "config.json", CONFIGS[0].to_hugging_face())
    (tmp_path / "model").mkdir()
    convert(tmp_path / "tag", tmp_path / "model", largest_file=2**20, progress=lambda *_: None)
    [file] = (tmp_path / "model").glob("*.safetensors")
    written = load_file(file)
    assert written.keys() == whole.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in whole.items())


def test_a_checkpoint_that_was_not_saved_to_its_end_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "tag", tensors(CONFIGS[0]), CONFIGS[0], Form(tp=2), dp=1)
    (tmp_path / "tag" / "done").unlink()
    with pytest.raises(CheckpointError, match="not saved to its end"):
        read(tmp_path / "tag", CONFIGS[0])


def test_a_missing_rank_is_named(tmp_path: Path) -> None:
    write(tmp_path / "tag", tensors(CONFIGS[0]), CONFIGS[0], Form(tp=2, pp=2), dp=1)
    (tmp_path / "tag" / "model" / "dp_rank_00_tp_rank_00_pp_rank_01.pt").unlink()
    with pytest.raises(CheckpointError, match="missing"):
        read(tmp_path / "tag", CONFIGS[0])


def test_tensors_in_files_of_their_own_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "tag", tensors(CONFIGS[0]), CONFIGS[0], Form(), dp=1)
    (tmp_path / "tag" / "model" / "dp_rank_00_tp_rank_00_pp_rank_00.pt.tensors").mkdir()
    with pytest.raises(CheckpointError, match="files of their own") as refused:
        read(tmp_path / "tag", CONFIGS[0])
    assert "use_xser=False" in refused.value.problems[0].hint
