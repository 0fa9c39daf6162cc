"""How a Mixtral may be split over ranks."""

from paceline.models.sharding import ShardingPlan

PLAN = ShardingPlan(
    units=("model.layers.*",),
    columns=("model.layers.*.self_attn.[qkv]_proj",),
    rows=("model.layers.*.self_attn.o_proj",),
    experts=("model.layers.*.block_sparse_moe.experts",),
)
