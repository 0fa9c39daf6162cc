"""`paceline checkpoint import` of a checkpoint of NeuronX Distributed."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from typer.testing import CliRunner

from paceline.checkpoint.huggingface import write_json
from paceline.checkpoint.neuron import Form
from paceline.checkpoint.neuron_files import write
from paceline.cli.main import app
from paceline.models.llama.config import LlamaConfig

CONFIG = LlamaConfig(
    vocab_size=16,
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=2,
    max_position_embeddings=64,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    initializer_range=0.3,
)


def test_a_tag_becomes_the_weights_of_a_recipe(tmp_path: Path) -> None:
    tensors = {name: torch.randn(shape) for name, shape in CONFIG.tensors().items()}
    write(tmp_path / "step_5", tensors, CONFIG, Form(tp=4, pp=2, kv_copies=2, fused_qkv=True), dp=1)
    write_json(tmp_path / "step_5" / "config.json", CONFIG.to_hugging_face())
    result = CliRunner().invoke(
        app, ["checkpoint", "import", str(tmp_path / "step_5"), str(tmp_path / "weights"), "-o", "json"]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["model"]["model_type"] == "llama"
