"""A GGUF file that is written here, by the format's own library, as llama.cpp's converter would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from paceline.checkpoint import huggingface
from paceline.checkpoint.gguf import convert
from paceline.models.llama.config import LlamaConfig
from paceline.spec.errors import CheckpointError

gguf: Any = pytest.importorskip("gguf", reason="the format's library is not installed (requirements-dev.txt)")

CONFIG = LlamaConfig(
    vocab_size=8,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=128,
    rms_norm_eps=1e-5,
    rope_theta=100000.0,
    tie_word_embeddings=True,
)
TOKENS = ["<|endoftext|>", "<|im_end|>", "1", "2", "a", "b", "ab", "\u0120"]
NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in whole:
        return whole[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def interleaved(rows: np.ndarray, heads: int) -> np.ndarray:
    """`permute` of https://github.com/ggml-org/llama.cpp/blob/master/convert_hf_to_gguf.py."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def write(
    path: Path,
    values: dict[str, np.ndarray],
    *,
    kind: str = "llama",
    splitter: str = "smollm",
    merges: tuple[str, ...] = ("a b",),
) -> Path:
    writer = gguf.GGUFWriter(path, kind)
    writer.add_block_count(CONFIG.num_hidden_layers)
    writer.add_context_length(CONFIG.max_position_embeddings)
    writer.add_embedding_length(CONFIG.hidden_size)
    writer.add_feed_forward_length(CONFIG.intermediate_size)
    writer.add_head_count(CONFIG.num_attention_heads)
    writer.add_head_count_kv(CONFIG.num_key_value_heads)
    writer.add_rope_dimension_count(CONFIG.head_dim)
    writer.add_rope_freq_base(CONFIG.rope_theta)
    writer.add_layer_norm_rms_eps(CONFIG.rms_norm_eps)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitter)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, 1, 1, 1, 1, 1, 1])
    writer.add_token_merges(merges)
    writer.add_eos_token_id(1)
    writer.add_chat_template("{{ messages }}")
    for name, value in values.items():
        if name.endswith("q_proj.weight"):
            value = interleaved(value, CONFIG.num_attention_heads)
        elif name.endswith("k_proj.weight"):
            value = interleaved(value, CONFIG.num_key_value_heads)
        if value.ndim == 2:
            kind_of = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(gguf_name(name), gguf.quantize(value, kind_of), raw_dtype=kind_of)
        else:
            writer.add_tensor(gguf_name(name), value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def values() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {name: generator.normal(size=shape).astype("<f4") for name, shape in CONFIG.tensors().items()}


def converted(source: Path, directory: Path) -> Path:
    directory.mkdir()
    convert(source, directory, largest_file=2**30, progress=lambda what, done, total: None)
    return directory


def test_weights_are_dequantised_under_hugging_faces_names(values: dict[str, np.ndarray], tmp_path: Path) -> None:
    model = huggingface.read(converted(write(tmp_path / "m.gguf", values), tmp_path / "out"))
    assert model.config == CONFIG
    (file,) = model.files
    for name, value in values.items():
        # eight bits for the largest of 32 neighbours
        np.testing.assert_allclose(file.array(name), value, atol=np.abs(value).max() / 200 if value.ndim == 2 else 0)


def test_the_tokenizer_comes_along(values: dict[str, np.ndarray], tmp_path: Path) -> None:
    directory = converted(write(tmp_path / "m.gguf", values), tmp_path / "out")
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    assert tokenizer.encode("ab12<|im_end|>a").tokens == ["ab", "1", "2", "<|im_end|>", "a"]
    assert tokenizer.decode([6, 2, 7, 5]) == "ab1 b"
    config = json.loads((directory / "tokenizer_config.json").read_text())
    assert (config["eos_token"], config["chat_template"]) == ("<|im_end|>", "{{ messages }}")
    assert json.loads((directory / "config.json").read_text())["eos_token_id"] == 1


def test_what_is_no_llama_is_refused(values: dict[str, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a `gemma`, not a `llama`"):
        converted(write(tmp_path / "m.gguf", values, kind="gemma"), tmp_path / "out")
    with pytest.raises(CheckpointError, match="its tokenizer, gpt2 with tekken, is not known"):
        converted(write(tmp_path / "n.gguf", values, splitter="tekken"), tmp_path / "more")
    with pytest.raises(CheckpointError, match="its tokenizer is damaged"):
        converted(write(tmp_path / "o.gguf", values, merges=("a b", "1 2")), tmp_path / "again")


def test_a_file_that_is_not_whole_is_refused(values: dict[str, np.ndarray], tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("no model")
    with pytest.raises(CheckpointError, match="cannot be read as GGUF"):
        converted(tmp_path / "text.gguf", tmp_path / "out")
    del values["model.layers.1.mlp.up_proj.weight"]
    with pytest.raises(CheckpointError, match=r"model\.layers\.1\.mlp\.up_proj\.weight: missing"):
        converted(write(tmp_path / "m.gguf", values), tmp_path / "more")
