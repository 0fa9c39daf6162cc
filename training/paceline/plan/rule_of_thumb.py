"""The memory of a rank by rule of thumb, for engines whose memory is not counted tensor by tensor. Pure.

States by stages of ZeRO (Rajbhandari et al., 2020, section 3); activations of a layer as Korthikanti et al. (2022,
table 2) have them with sequence parallel, without the scores that flash attention never keeps.
"""

from __future__ import annotations

from functools import cache

from paceline.models.families import FAMILIES
from paceline.plan.layout import Layout
from paceline.recipe.schema import Recipe

_PER_LAYER = {"none": 34.0, "selective": 24.0, "full": 2.0}  # bytes per token and hidden unit, at 2 bytes each
_GRADIENT, _MASTER, _MOMENTS = 4, 4, 8


def at_least(recipe: Recipe, layout: Layout) -> int:
    """What no rank can do without: its part of the state if that is spread evenly, and whole gradients of what it
    computes where they are kept: with ZeRO-1, and by FSDP2 from pass to pass. Of adapters, their frozen model in four
    bits."""
    parameters = _parameters(recipe.model.family, recipe.model.preset)
    if recipe.adapter is not None:
        return parameters // 2 // layout.world_size
    offloaded = recipe.compute.offload == "cpu"  # with the gradients that the update needs
    state = 0 if offloaded else parameters * (_GRADIENT + _MASTER + _MOMENTS) // layout.world_size
    kept = recipe.parallelism.zero == 1 or (recipe.engine == "torch" and layout.micro_steps > 1)
    return state + (_GRADIENT * parameters // (layout.tp * layout.pp * layout.ep) if kept else 0)


def bytes_per_rank(recipe: Recipe, layout: Layout) -> int:
    """Of the rank of the pipeline that holds most."""
    config = FAMILIES[recipe.model.family].preset(recipe.model.preset)
    chosen, compute = recipe.parallelism, recipe.compute
    in_float32 = compute.precision == "float32"
    weight, master = (4, 0) if in_float32 else (2, _MASTER)
    parameters = _parameters(recipe.model.family, recipe.model.preset)
    own, shards = parameters / (layout.tp * layout.pp), layout.dp_shard * layout.cp
    trained = 0.0 if recipe.adapter is not None else 1.0
    states = own * weight / (shards if chosen.zero == 3 else 1)
    states += trained * own * _GRADIENT / (shards if chosen.zero >= 2 else 1)
    states += 0.0 if compute.offload == "cpu" else trained * own * (master + _MOMENTS) / shards
    tokens = layout.micro_sequences * recipe.data.sequence_length / layout.cp
    unit = tokens * config.hidden_size / layout.tp * (2 if in_float32 else 1)
    under_way = min(layout.pp, layout.micro_steps)
    kept = _PER_LAYER[compute.activation_checkpointing] * unit * config.num_hidden_layers / layout.pp * under_way
    logits = tokens * config.vocab_size / layout.tp * (4 + 4 + weight)
    return int(states + kept + max(_PER_LAYER["none"] * unit, logits))


@cache
def _parameters(family: str, preset: str) -> int:
    """How many there are: a planner asks for many layouts of one model."""
    return FAMILIES[family].preset(preset).parameters
