from __future__ import annotations

import torch

from paceline.models.decoder import DecoderLayer
from paceline.models.layers import PlainLayers
from paceline.models.llama.config import LlamaConfig
from paceline.models.llama.model import Llama
from paceline.models.llama.sharding import PLAN
from paceline.models.sharding import ShardingPlan


def test_units_of_llama_are_its_layers() -> None:
    with torch.device("meta"):
        model = Llama(LlamaConfig.preset("debug"), PlainLayers())
    units = list(PLAN.unit_modules(model))
    assert units == list(model.model.layers)
    assert all(isinstance(unit, DecoderLayer) for unit in units)


def test_a_star_is_one_part_of_a_name() -> None:
    model = torch.nn.ModuleDict({"a": torch.nn.ModuleDict({"b": torch.nn.Identity()}), "c": torch.nn.Identity()})
    assert list(ShardingPlan(units=("*",)).unit_modules(model)) == [model["a"], model["c"]]
    assert list(ShardingPlan(units=("*.b", "c")).unit_modules(model)) == [model["a"]["b"], model["c"]]


def test_a_slice_of_experts_has_the_number_after_the_name_of_the_experts() -> None:
    plan = ShardingPlan(units=(), experts=("model.layers.*.mlp.experts",))
    assert plan.expert_tensor("model.layers.3.mlp.experts.up_proj.weight", 17) == (
        "model.layers.3.mlp.experts.17.up_proj.weight"
    )
    assert plan.expert_tensor("model.layers.3.mlp.gate.weight", 17) is None


def test_a_linear_module_is_shared_by_what_the_plan_says() -> None:
    plan = ShardingPlan(units=(), columns=("*.[qk]_proj",), rows=("*.o_proj",))
    assert [plan.split(f"a.{name}") for name in ("q_proj", "k_proj", "v_proj", "o_proj")] == [
        "columns",
        "columns",
        None,
        "rows",
    ]
