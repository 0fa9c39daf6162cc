"""What NeuronX Distributed and its kernels allow, beside what every engine asks of a layout.

Sources: neuronx_distributed 0.19, `modules/qkv_linear.py` (replicated key/value heads), `kernels/flash_attn.py`
(sequences, masks), `pipeline/model.py` (shared weights); degrees of tensor parallel are those of the catalog.
"""

from __future__ import annotations

from collections.abc import Iterator

from paceline.catalog.instance_types import instance_types
from paceline.models.config import DecoderConfig
from paceline.recipe.schema import Recipe
from paceline.spec.errors import Problem
from paceline.spec.names import ENV_COMPILE_CACHE

FLASH_TILE = 2048
"""Positions of a tile of its flash attention: sequences must be multiples."""

NATIVE_TILE = 128
"""Positions to which shapes are padded where PyTorch itself runs on Neuron (as TRL does: `sft_config.py`)."""

LONGEST_RING = 32768
"""Positions up to which its ring attention is released."""


def kv_replication(key_value_heads: int, tp: int) -> int | None:
    """How often each key/value head must be held so that `tp` ranks share them evenly; None if that cannot be."""
    if key_value_heads % tp == 0:
        return 1
    return tp // key_value_heads if tp % key_value_heads == 0 else None


def tp_degrees(recipe: Recipe) -> tuple[int, ...]:
    """The degrees of tensor parallel that are known to work on the recipe's instance type, with one."""
    row = instance_types().get(recipe.instance or "")
    return (1, *((row.nxd_tp_degrees if row else None) or ()))


def problems(recipe: Recipe, config: DecoderConfig) -> Iterator[Problem]:
    """What the recipe asks for and cannot have."""
    chosen, name, length = recipe.parallelism, f"{config.family} `{recipe.model.preset}`", recipe.data.sequence_length
    legal = tp_degrees(recipe)
    if chosen.tp not in legal:
        yield Problem(
            message=f"parallelism.tp: NeuronX Distributed is not known to share products by {chosen.tp} on"
            f" {recipe.instance or 'an unnamed instance type'}",
            hint=f"set parallelism.tp to {_nearest(chosen.tp, legal)}",
        )
    elif kv_replication(config.num_key_value_heads, chosen.tp) is None:
        fitting = [n for n in legal if kv_replication(config.num_key_value_heads, n)]
        yield Problem(
            message=f"parallelism.tp: {chosen.tp} ranks can neither share nor repeat the {config.num_key_value_heads}"
            f" key/value heads of {name}",
            hint=f"set parallelism.tp to {_nearest(chosen.tp, fitting)}",
        )
    if getattr(config, "routing", None) is not None:
        yield Problem(
            message=f"model: engine nxd trains no experts, and {name} has them", hint="set accelerator to gpu or cpu"
        )
    if chosen.pp > 1 and config.tie_word_embeddings:
        yield Problem(
            message=f"parallelism.pp: the embedding of {name} is also its head, and stages of NeuronX Distributed"
            " share no weights",
            hint="set parallelism.pp to 1",
        )
    if chosen.cp > 1 and length > LONGEST_RING:
        yield Problem(
            message=f"parallelism.cp: ring attention of NeuronX Distributed is released up to {LONGEST_RING} positions,"
            f" data.sequence_length is {length}",
            hint=f"set parallelism.cp to 1, or data.sequence_length to {LONGEST_RING}",
        )
    if recipe.platform.compile_ahead:
        yield from _of_the_cache(recipe)
    if recipe.compute.attention == "nki_flash":
        yield from _of_flash_attention(recipe, config)


def _of_the_cache(recipe: Recipe) -> Iterator[Problem]:
    """Variables that would send the compiler to another cache than the one that is filled before the run."""
    environment = recipe.platform.environment
    flags = environment.get("NEURON_CC_FLAGS", "")
    for found in ("--cache_dir", "--no_cache"):
        if found in flags:
            yield Problem(
                message=f"platform.environment: NEURON_CC_FLAGS has {found}, and platform.compile_ahead fills a cache"
                " of its own",
                hint=f"leave {found} out, or set platform.compile_ahead to false",
            )
    if ENV_COMPILE_CACHE in environment:
        yield Problem(
            message=f"platform.environment: {ENV_COMPILE_CACHE} is set by platform.compile_ahead",
            hint="leave it out, or set platform.compile_ahead to false",
        )


def native_problems(recipe: Recipe) -> Iterator[Problem]:
    """What PyTorch's own support of Neuron, a preview, does not allow of the engine `torch`."""
    length = recipe.data.sequence_length
    if length % NATIVE_TILE:
        nearest = [n for n in (length // NATIVE_TILE * NATIVE_TILE, -(-length // NATIVE_TILE) * NATIVE_TILE) if n]
        yield Problem(
            message=f"data.sequence_length: {length} is not a multiple of {NATIVE_TILE}, as static shapes on a Neuron"
            " device are",
            hint=f"set data.sequence_length to {' or '.join(map(str, nearest))}",
        )
    if not recipe.compute.static_shapes:
        yield Problem(
            message="compute.static_shapes: Neuron's compiler has no graphs for more than one shape",
            hint="set compute.static_shapes to true",
        )
    if recipe.sentinel is not None:
        yield Problem(
            message="sentinel: its fingerprints are 64-bit integers, which Neuron's compiler makes narrower",
            hint="set sentinel to null",
        )
    if recipe.parallelism.pp > 1:
        yield Problem(
            message="parallelism.pp: PyTorch's own support of Neuron has no pipelines yet",
            hint="set parallelism.pp to 1",
        )


def _of_flash_attention(recipe: Recipe, config: DecoderConfig) -> Iterator[Problem]:
    length = recipe.data.sequence_length
    if length % FLASH_TILE:
        below = length // FLASH_TILE * FLASH_TILE
        yield Problem(
            message=f"data.sequence_length: {length} is not a multiple of {FLASH_TILE}, as compute.attention nki_flash"
            " needs it",
            hint=f"set it to {' or '.join(str(n) for n in (below, below + FLASH_TILE) if n)}, or compute.attention to"
            " sdpa",
        )
    windowed = any((window := config.window(n)) and window < length for n in range(config.num_hidden_layers))
    if recipe.data.document_mask or windowed:
        what = "data.document_mask" if recipe.data.document_mask else "model.preset: a sliding window"
        yield Problem(
            message=f"{what}: compute.attention nki_flash has no mask but the causal one",
            hint="set compute.attention to sdpa",
        )


def _nearest(degree: int, legal: tuple[int, ...] | list[int]) -> str:
    below, above = [n for n in legal if n < degree], [n for n in legal if n > degree]
    return " or ".join(str(n) for n in [*below[-1:], *above[:1]])
