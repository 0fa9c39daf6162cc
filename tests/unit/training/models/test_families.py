"""What holds for every family; what is special to one is in its own tests and in the parity with transformers."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from paceline.models.families import FAMILIES
from paceline.models.kernels import KERNELS
from paceline.models.layers import PlainLayers
from paceline.models.registry import BLUEPRINTS
from paceline.recipe.schema import ModelChoice
from paceline.spec.errors import CheckpointError
from tests.tiny_models import TINY, build, plan_of, some_ids, state_of

# `safetensors.total` at https://huggingface.co/api/models/<name>
PUBLISHED = {
    ("llama", "smollm2-135m"): 134_515_008,
    ("llama", "llama3.2-1b"): 1_235_814_400,
    ("llama", "llama3.2-3b"): 3_212_749_824,
    ("llama", "llama3-8b"): 8_030_261_248,
    ("llama", "llama3.1-8b"): 8_030_261_248,
    ("llama", "llama3.1-70b"): 70_553_706_496,
    ("llama", "llama3.1-405b"): 405_853_388_800,
    ("mistral", "mistral-7b-v0.1"): 7_241_732_096,
    ("mistral", "mistral-7b-v0.3"): 7_248_023_552,
    ("mixtral", "mixtral-8x7b-v0.1"): 46_702_792_704,
    ("qwen2", "qwen2.5-0.5b"): 494_032_768,
    ("qwen2", "qwen2.5-1.5b"): 1_543_714_304,
    ("qwen2", "qwen2.5-3b"): 3_085_938_688,
    ("qwen2", "qwen2.5-7b"): 7_615_616_512,
    ("qwen3", "qwen3-0.6b"): 596_049_920,
    ("qwen3", "qwen3-8b"): 8_190_735_360,
    ("qwen3_moe", "qwen3-30b-a3b"): 30_532_122_624,
    ("qwen3_moe", "qwen3-235b-a22b"): 235_093_634_560,
}
every_family = pytest.mark.parametrize("family", FAMILIES)


def test_every_family_has_a_configuration_a_blueprint_and_a_name_in_recipes() -> None:
    names = ModelChoice.model_json_schema()["properties"]["family"]["enum"]
    assert list(FAMILIES) == list(BLUEPRINTS) == names == list(TINY)
    assert [config.family for config in FAMILIES.values()] == names


def test_every_published_preset_has_its_published_number_of_parameters() -> None:
    presets = [(family, preset) for family, config in FAMILIES.items() for preset in config.presets()]
    counted = {}
    for family, preset in presets:
        if preset in {"debug", "micro"}:
            continue
        config = FAMILIES[family].preset(preset)
        with torch.device("meta"):
            model = BLUEPRINTS[family](preset, config.vocab_size).build(PlainLayers())
        counted[family, preset] = sum(p.numel() for p in model.parameters())
        assert counted[family, preset] == config.parameters
    assert counted == PUBLISHED


@every_family
def test_a_model_holds_the_tensors_that_its_configuration_lists(family: str) -> None:
    config = TINY[family]
    assert {name: shard.global_shape for name, shard in state_of(build(config)).items()} == config.tensors()


@every_family
def test_a_position_sees_nothing_after_it(family: str) -> None:
    config = TINY[family]
    model, ids = build(config), some_ids(config)
    changed = ids.clone()
    changed[:, 9] = (changed[:, 9] + 1) % config.vocab_size
    before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :9], after[:, :9])
    assert (before[:, 9] - after[:, 9]).abs().amax(dim=-1).min() > 1e-3


@every_family
@pytest.mark.parametrize("kernel", KERNELS)
def test_packed_documents_do_not_see_each_other(family: str, kernel: str) -> None:
    config = TINY[family]
    model, ids = build(config, PlainLayers(attention=kernel)).requires_grad_(False), some_ids(config)
    documents = torch.tensor([[0] * 4 + [1] * 13, [0] * 10 + [1] * 7])
    packed = model(ids, documents)
    for row, cut in enumerate((4, 10)):
        alone = [model(part[None])[0] for part in (ids[row, :cut], ids[row, cut:])]
        torch.testing.assert_close(packed[row], torch.cat(alone), rtol=1e-4, atol=1e-4)


@every_family
def test_gradients_are_the_same_twice(family: str) -> None:
    config = TINY[family]
    ids, gradients = some_ids(config), []
    for _ in range(2):
        model = build(config)
        model(ids).square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None and gradient.abs().sum() > 0, name
        assert torch.equal(gradient, gradients[1][name]), name


@every_family
def test_the_sharding_plan_covers_every_matrix_of_a_layer(family: str) -> None:
    plan = plan_of(TINY[family])
    ways = {}
    for name, parameter in build(TINY[family]).named_parameters():
        if parameter.dim() > 1 and name.startswith("model.layers.1."):
            module = name.removesuffix(".weight")
            ways[module.split(".")[-1]] = "experts" if plan.expert_tensor(name, 0) else plan.split(module)
    attention = {"q_proj": "columns", "k_proj": "columns", "v_proj": "columns", "o_proj": "rows"}
    dense = {"gate_proj": "columns", "up_proj": "columns", "down_proj": "rows"}
    sparse = {"gate": None, "gate_proj": "experts", "up_proj": "experts", "down_proj": "experts"}
    mixtral = {"gate": None, "w1": "experts", "w2": "experts", "w3": "experts"}
    assert ways == attention | {"mixtral": mixtral, "qwen3_moe": sparse}.get(family, dense)


@every_family
def test_a_configuration_survives_hugging_faces_file(family: str) -> None:
    config = TINY[family]
    assert type(config).from_hugging_face(config.to_hugging_face(), "config.json") == config


def test_what_transformers_5_writes_about_rotary_positions_is_read() -> None:
    config = TINY["llama"]
    document = config.to_hugging_face()
    rope = document.pop("rope_scaling") | {"rope_theta": document.pop("rope_theta")}
    assert type(config).from_hugging_face(document | {"rope_parameters": rope}, "config.json") == config


def test_head_dimension_follows_from_the_heads_where_it_is_not_said() -> None:
    document = TINY["mistral"].to_hugging_face() | {"head_dim": None}
    assert FAMILIES["mistral"].from_hugging_face(document, "config.json").head_dim == 4


def test_all_that_a_configuration_cannot_be_is_told_at_once() -> None:
    document = TINY["llama"].to_hugging_face() | {"mlp_bias": True, "hidden_act": "gelu", "vocab_size": None}
    document["rope_scaling"] = {"rope_type": "yarn", "factor": 4.0}
    with pytest.raises(CheckpointError) as caught:
        FAMILIES["llama"].from_hugging_face(document, "there/config.json")
    assert [problem.message for problem in caught.value.problems] == [
        "there/config.json: vocab_size: missing",
        "there/config.json: rope type `yarn` is not supported",
        "there/config.json: hidden_act: is 'gelu', llama is trained with 'silu' only",
        "there/config.json: mlp_bias: is True, llama is trained with False only",
    ]


def test_a_file_that_someone_edited_is_a_message() -> None:
    document = TINY["llama"].to_hugging_face() | {"hidden_size": "large", "head_dim": 8}
    document["rope_scaling"] = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": "x"}
    with pytest.raises(CheckpointError) as caught:
        FAMILIES["llama"].from_hugging_face(document, "config.json")
    assert [problem.message for problem in caught.value.problems] == [
        "config.json: hidden_size: is 'large', not a number",
        "config.json: rope_scaling.high_freq_factor: is 'x', not a number",
        "config.json: rope_scaling.original_max_position_embeddings: missing",
    ]
    with pytest.raises(CheckpointError, match="num_key_value_heads does not divide"):
        FAMILIES["llama"].from_hugging_face(TINY["llama"].to_hugging_face() | {"num_key_value_heads": 4}, "config.json")


@pytest.mark.parametrize("family", [name for name, config in TINY.items() if config.window(1)])
def test_a_window_hides_what_is_too_far_back(family: str) -> None:
    config = dataclasses.replace(TINY[family], num_hidden_layers=1)
    if family == "qwen2":
        config = dataclasses.replace(config, max_window_layers=0)
    model, ids = build(config), some_ids(config)
    changed = ids.clone()
    changed[:, 3] = (changed[:, 3] + 1) % config.vocab_size
    moved = (model(ids) - model(changed)).abs().amax(dim=-1) > 1e-5
    assert moved.tolist() == [[3 <= at < 8 for at in range(17)]] * 2


def test_only_the_last_layers_of_a_qwen2_have_the_window() -> None:
    config = dataclasses.replace(TINY["qwen2"], num_hidden_layers=4, max_window_layers=2)
    assert [config.window(layer) for layer in range(4)] == [None, None, 5, 5]
    assert dataclasses.replace(config, use_sliding_window=False).window(3) is None
