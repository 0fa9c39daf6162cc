"""How a Llama may be split over ranks."""

from paceline.models.sharding import ShardingPlan

PLAN = ShardingPlan(units=("model.layers.*",))
