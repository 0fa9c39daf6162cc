from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from paceline.models.initialise import initialise
from paceline.models.layers import PlainLayers
from paceline.models.llama.config import LlamaConfig
from paceline.models.llama.model import Llama

CONFIG = LlamaConfig(
    vocab_size=31,
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=6,
    num_key_value_heads=2,
    head_dim=4,
    max_position_embeddings=64,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    tie_word_embeddings=False,
    initializer_range=0.3,
)

# transformers' LlamaForCausalLM(...).state_dict() of the same shape
HUGGING_FACE_SHAPES = {
    "model.embed_tokens.weight": (31, 24),
    "model.layers.0.self_attn.q_proj.weight": (24, 24),
    "model.layers.0.self_attn.k_proj.weight": (8, 24),
    "model.layers.0.self_attn.v_proj.weight": (8, 24),
    "model.layers.0.self_attn.o_proj.weight": (24, 24),
    "model.layers.0.mlp.gate_proj.weight": (40, 24),
    "model.layers.0.mlp.up_proj.weight": (40, 24),
    "model.layers.0.mlp.down_proj.weight": (24, 40),
    "model.layers.0.input_layernorm.weight": (24,),
    "model.layers.0.post_attention_layernorm.weight": (24,),
    "model.layers.1.self_attn.q_proj.weight": (24, 24),
    "model.layers.1.self_attn.k_proj.weight": (8, 24),
    "model.layers.1.self_attn.v_proj.weight": (8, 24),
    "model.layers.1.self_attn.o_proj.weight": (24, 24),
    "model.layers.1.mlp.gate_proj.weight": (40, 24),
    "model.layers.1.mlp.up_proj.weight": (40, 24),
    "model.layers.1.mlp.down_proj.weight": (24, 40),
    "model.layers.1.input_layernorm.weight": (24,),
    "model.layers.1.post_attention_layernorm.weight": (24,),
    "model.norm.weight": (24,),
    "lm_head.weight": (31, 24),
}


def llama(config: LlamaConfig = CONFIG) -> Llama:
    model = Llama(config, PlainLayers())
    for name, parameter in model.named_parameters():
        initialise(name, parameter, first_row=0, seed=5, std=config.initializer_range)
        if parameter.dim() == 1:  # scales that differ, so that a scale in the wrong place shows
            parameter.data.copy_(torch.linspace(0.5, 1.5, len(parameter)))
    return model


@pytest.fixture
def ids() -> Tensor:
    return torch.randint(0, CONFIG.vocab_size, (3, 17), generator=torch.Generator().manual_seed(1))


def test_names_and_shapes_are_those_of_hugging_face() -> None:
    assert {name: tuple(tensor.shape) for name, tensor in llama().state_dict().items()} == HUGGING_FACE_SHAPES


def test_tied_head_is_the_embedding() -> None:
    model = llama(dataclasses.replace(CONFIG, tie_word_embeddings=True))
    assert "lm_head.weight" not in dict(model.named_parameters())
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_position_sees_nothing_after_it(ids: Tensor) -> None:
    changed = ids.clone()
    changed[:, 9] = (changed[:, 9] + 1) % CONFIG.vocab_size
    model = llama()
    before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :9], after[:, :9])
    assert (before[:, 9:] - after[:, 9:]).abs().amax(dim=-1).min() > 1e-4


def test_grouped_heads_equal_all_heads_with_repeated_keys_and_values(ids: Tensor) -> None:
    grouped = llama()
    whole = llama(dataclasses.replace(CONFIG, num_key_value_heads=CONFIG.num_attention_heads))
    weights = grouped.state_dict()
    repeats = CONFIG.num_attention_heads // CONFIG.num_key_value_heads
    for name, weight in weights.items():
        if "k_proj" in name or "v_proj" in name:
            heads = weight.view(CONFIG.num_key_value_heads, CONFIG.head_dim, -1)
            weights[name] = heads.repeat_interleave(repeats, dim=0).flatten(0, 1)
    whole.load_state_dict(weights)
    torch.testing.assert_close(grouped(ids), whole(ids))


def test_logits_equal_a_reference_written_from_the_equations(ids: Tensor) -> None:
    model = llama()
    expected = reference({name: tensor.double() for name, tensor in model.state_dict().items()}, CONFIG, ids)
    torch.testing.assert_close(model(ids).double(), expected, rtol=1e-4, atol=1e-4)


def reference(weights: dict[str, Tensor], config: LlamaConfig, ids: Tensor) -> Tensor:
    """Llama in float64, one sequence, one head and one pair of dimensions at a time."""

    def norm(x: Tensor, name: str) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + config.rms_norm_eps).sqrt() * weights[name]

    def head(x: Tensor, name: str, index: int) -> Tensor:
        rows = slice(index * config.head_dim, (index + 1) * config.head_dim)
        return x @ weights[name][rows].T

    def turn(x: Tensor) -> Tensor:
        turned, half = torch.empty_like(x), config.head_dim // 2
        for position in range(len(x)):
            for pair in range(half):
                angle = torch.tensor(position * config.rope_theta ** (-2 * pair / config.head_dim)).double()
                a, b = x[position, pair], x[position, pair + half]
                turned[position, pair] = a * angle.cos() - b * angle.sin()
                turned[position, pair + half] = b * angle.cos() + a * angle.sin()
        return turned

    outputs = []
    for sequence in ids:
        x = weights["model.embed_tokens.weight"][sequence]
        future = torch.ones(len(x), len(x)).triu(1).bool()
        for layer in (f"model.layers.{i}" for i in range(config.num_hidden_layers)):
            normed, heads = norm(x, f"{layer}.input_layernorm.weight"), []
            for index in range(config.num_attention_heads):
                shared = index * config.num_key_value_heads // config.num_attention_heads
                query = turn(head(normed, f"{layer}.self_attn.q_proj.weight", index))
                key = turn(head(normed, f"{layer}.self_attn.k_proj.weight", shared))
                scores = (query @ key.T / config.head_dim**0.5).masked_fill(future, -torch.inf)
                heads.append(scores.softmax(-1) @ head(normed, f"{layer}.self_attn.v_proj.weight", shared))
            x = x + torch.cat(heads, dim=-1) @ weights[f"{layer}.self_attn.o_proj.weight"].T
            normed = norm(x, f"{layer}.post_attention_layernorm.weight")
            gate = normed @ weights[f"{layer}.mlp.gate_proj.weight"].T
            up = normed @ weights[f"{layer}.mlp.up_proj.weight"].T
            x = x + (gate / (1 + (-gate).exp()) * up) @ weights[f"{layer}.mlp.down_proj.weight"].T
        outputs.append(norm(x, "model.norm.weight") @ weights["lm_head.weight"].T)
    return torch.stack(outputs)
