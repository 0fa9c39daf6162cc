"""How a Qwen3 may be split over ranks."""

from paceline.models.sharding import ShardingPlan

PLAN = ShardingPlan(
    units=("model.layers.*",),
    columns=(
        "model.layers.*.self_attn.[qkv]_proj",
        "model.layers.*.mlp.gate_proj",
        "model.layers.*.mlp.up_proj",
    ),
    rows=("model.layers.*.self_attn.o_proj", "model.layers.*.mlp.down_proj"),
)
