"""Adapters: where they are put, what learns, and that the model is at first what it was."""

from __future__ import annotations

import pytest
import torch

from paceline.models.adapter import adapter_tensors, learns, problems
from paceline.models.layers import PlainLayers
from paceline.models.lora import FrozenLinear, LoraLinear, attach, compress, freeze, without_adapters
from paceline.models.nf4 import dequantise, quantise
from paceline.recipe.method import Adapter
from tests.tiny_models import TINY, build, some_ids

ADAPTER = Adapter(rank=3, alpha=6.0)


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_the_tensors_are_those_that_are_foretold(family: str) -> None:
    model = build(TINY[family])
    attach(model, ADAPTER, PlainLayers())
    freeze(model, learns, torch.float32)
    found = {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    assert found == adapter_tensors(TINY[family], ADAPTER)
    assert len(found) == 2 * 7 * TINY[family].num_hidden_layers


def test_a_frozen_model_has_the_names_that_it_had_and_what_is_tied_stays_so() -> None:
    before = dict(build(TINY["qwen3"]).named_parameters())
    model = build(TINY["qwen3"])
    attach(model, ADAPTER, PlainLayers())
    freeze(model, learns, torch.bfloat16)
    frozen = {name: p for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen.keys() == before.keys()
    assert {p.dtype for p in frozen.values()} == {torch.bfloat16}
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_without_its_adapters_a_model_is_what_it_was() -> None:
    ids = some_ids(TINY["llama"])
    expected = build(TINY["llama"])(ids)
    model = build(TINY["llama"])
    attach(model, ADAPTER, PlainLayers())
    for module in model.modules():
        if isinstance(module, LoraLinear):
            torch.nn.init.ones_(module.lora_A.weight)
            torch.nn.init.zeros_(module.lora_B.weight)
    assert torch.equal(model(ids), expected)
    torch.nn.init.ones_(model.model.layers[0].self_attn.q_proj.lora_B.weight)
    assert not torch.allclose(model(ids), expected)
    with without_adapters(model):
        assert torch.equal(model(ids), expected)
    assert not torch.allclose(model(ids), expected)


def test_quantised_layers_are_all_of_the_decoders_and_nothing_else() -> None:
    model = build(TINY["llama"])
    attach(model, Adapter(rank=3, targets=("q_proj",), quantize="nf4"), PlainLayers())
    original = model.model.layers[1].mlp.up_proj.weight.detach().clone()
    compress(model)
    quantised = [name for name, module in model.named_modules() if isinstance(module, FrozenLinear)]
    assert len(quantised) == 7 * TINY["llama"].num_hidden_layers
    left = {name for name, _ in model.named_parameters()}
    assert "lm_head.weight" in left and not any(f"{name}.weight" in left for name in quantised)
    x = torch.randn(2, original.shape[1])
    expected = x @ dequantise(*quantise(original), original.shape[1], torch.float32).T
    torch.testing.assert_close(model.model.layers[1].mlp.up_proj(x), expected)


def test_a_target_that_only_experts_have_is_refused() -> None:
    found = list(problems(TINY["qwen3_moe"], Adapter(targets=("q_proj", "up_proj"), quantize="nf4")))
    assert [problem.message.partition(":")[0] for problem in found] == ["adapter.targets", "adapter.quantize"]
