from __future__ import annotations

import torch

from paceline.models.layers import PlainLayers
from paceline.models.llama.config import LlamaConfig
from paceline.models.llama.model import DecoderLayer, Llama
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
