"""Parameters that hold several logical tensors: experts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from paceline.engines.base import LogicalShard
from paceline.engines.torch.mesh import Mesh
from paceline.engines.torch.optimizer import ShardedAdamW
from paceline.engines.torch.parallelize import build
from paceline.engines.torch.process_group import join_alone, leave
from paceline.engines.torch.state import logical
from paceline.models.families import FAMILIES
from paceline.models.initialise import initialise
from paceline.models.registry import BLUEPRINTS
from paceline.models.sharding import ShardingPlan
from paceline.plan.layout import derive
from paceline.recipe.schema import Recipe

PLAN = ShardingPlan(units=(), experts=("mlp.experts",))


@pytest.fixture
def mesh(recipe: Recipe) -> Iterator[Mesh]:
    yield Mesh.of(derive(recipe, 1), join_alone())
    leave()


def part(whole: torch.Tensor, region: tuple[slice, ...]) -> LogicalShard:
    offset = tuple(s.start or 0 for s in region)
    return LogicalShard(tensor=whole[region].contiguous(), global_shape=tuple(whole.shape), offset=offset)


@pytest.mark.parametrize(
    "regions",
    [
        [(slice(0, 3), slice(0, 4), slice(0, 6)), (slice(3, 5), slice(0, 4), slice(0, 6))],
        [(slice(0, 5), slice(0, 2), slice(0, 6)), (slice(0, 5), slice(2, 4), slice(0, 6))],
        [(slice(0, 5), slice(0, 4), slice(0, 6)), (slice(5, 5), slice(0, 4), slice(0, 6))],
    ],
    ids=["by expert", "by row", "all and none"],
)
def test_the_slices_of_all_ranks_tile_every_expert(regions: list[tuple[slice, ...]]) -> None:
    whole = torch.arange(5 * 4 * 6.0).view(5, 4, 6)
    found = {f"mlp.experts.{expert}.up_proj.weight": torch.full((4, 6), torch.nan) for expert in range(5)}
    for region in regions:
        shards = dict(logical("mlp.experts.up_proj.weight", part(whole, region), PLAN))
        assert shards.keys() == found.keys()
        for name, shard in shards.items():
            assert shard.global_shape == (4, 6) and shard.tensor.is_contiguous()
            block = tuple(slice(at, at + n) for at, n in zip(shard.offset, shard.tensor.shape, strict=True))
            assert found[name][block].isnan().all()
            found[name][block] = shard.tensor
    assert torch.equal(torch.stack(list(found.values())), whole)


def test_a_slice_is_the_live_storage() -> None:
    held = part(torch.zeros(5, 4, 6), (slice(0, 5), slice(0, 4), slice(0, 6)))
    dict(logical("mlp.experts.up_proj.weight", held, PLAN))["mlp.experts.3.up_proj.weight"].tensor.fill_(7.0)
    assert held.tensor.sum(dim=(1, 2)).tolist() == [0, 0, 0, 7 * 24, 0]


@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe"])
def test_an_engines_state_has_hugging_faces_names(mesh: Mesh, recipe: Recipe, family: str) -> None:
    config = FAMILIES[family].preset("debug", vocabulary=64)
    blueprint = BLUEPRINTS[family]("debug", 64)
    stages = build(blueprint, recipe, mesh, seed=3)
    state = ShardedAdamW(stages, recipe.optimizer, blueprint.sharding).state()
    parameters = {name: shard.global_shape for name, shard in state.items() if not name.startswith("optimizer.")}
    assert parameters == config.tensors()
    for name, shape in parameters.items():
        for kind in ("exp_avg", "exp_avg_sq"):
            assert state[f"optimizer.{kind}.{name}"].global_shape == shape
        assert state[f"optimizer.step.{name}"].global_shape == ()
    block = "block_sparse_moe.experts.2.w1" if family == "mixtral" else "mlp.experts.2.gate_proj"
    name = f"model.layers.1.{block}.weight"
    expected = torch.empty(parameters[name])
    initialise(name, expected, first_row=0, seed=3, std=config.initializer_range)
    assert torch.equal(state[name].tensor, expected)
