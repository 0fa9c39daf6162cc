"""What a forward pass keeps for its backward pass: every tensor that autograd saves in models/, counted.

The count for a layer follows Korthikanti et al. (2022, section 4), for SwiGLU, grouped heads and rotary positions as
they are here. Where a device computes in other kernels it keeps other tensors: `Precision` says which are known. A mask
that is a matrix is counted as the CPU's attention keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass

from paceline.models.adapter import adapted
from paceline.models.config import DecoderConfig, Routing
from paceline.plan.layout import Layout
from paceline.recipe.schema import Recipe

FLOAT32, INT64 = 4, 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """Bytes of an activation, and whether the device norms in one kernel, as CUDA does, or step by step in float32, as
    a CPU does."""

    activation_bytes: int
    fused_norms: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Activations:
    """Bytes that one pass keeps on a rank: in the `layers` of a stage, and `behind` them, for the loss. `layer` is
    what one layer keeps that computes nothing again; `residual` goes from layer to layer, and from stage to stage."""

    layer: int
    residual: int
    layers: int
    behind: int


def kept(
    recipe: Recipe, config: DecoderConfig, layout: Layout, precision: Precision, *, layers: range, last: bool
) -> Activations:
    """What a stage of these `layers` keeps of a pass; the `last` stage has the loss."""
    count, compute = _Count(recipe, config, layout, precision), recipe.compute
    short = {"none": None, "full": count.residual(), "selective": count.selective()}[compute.activation_checkpointing]
    whole = [count.layer(index) for index in layers]
    of_layers = [
        short if short is not None and number % compute.checkpoint_every == 0 else of_layer
        for number, of_layer in enumerate(whole)
    ]
    return Activations(
        layer=max(whole),
        residual=count.residual(),
        layers=count.angles() + sum(of_layers),
        behind=count.norm(config.hidden_size) + count.gathered() + count.loss() if last else 0,
    )


class _Count:
    """Bytes of a rank's part of a pass."""

    def __init__(self, recipe: Recipe, config: DecoderConfig, layout: Layout, precision: Precision) -> None:
        self._config = config
        self._routing: Routing | None = getattr(config, "routing", None)
        self._recipe = recipe
        self._layout = layout
        self._tp = layout.tp
        self._bytes = precision.activation_bytes
        self._fused = precision.fused_norms
        self._positions = recipe.data.sequence_length // layout.cp
        self._tokens = layout.micro_sequences * self._positions
        # between the products of tensor parallel, ranks have their own positions or repeat all
        self._between = self._tokens // layout.tp if recipe.parallelism.sequence_parallel else self._tokens

    def residual(self) -> int:
        """What goes from layer to layer."""
        return self._between * self._config.hidden_size * self._bytes

    def norm(self, width: int) -> int:
        """One norm of each token over `width`: what goes in, and the root mean square; in steps also the ratio."""
        each = width * self._bytes if self._fused else 2 * width * FLOAT32
        return self._between * (each + FLOAT32)

    def gathered(self) -> int:
        """What linear modules that share columns multiply: of all positions."""
        return self._tokens * self._config.hidden_size * self._bytes

    def loss(self) -> int:
        """The logarithms of the probabilities; a score has none."""
        if self._config.num_labels is not None:
            return 0
        return self._tokens * -(-self._config.vocab_size // self._tp) * FLOAT32

    def angles(self) -> int:
        """The rotary tables, which all layers share."""
        return 2 * self._positions * self._config.head_dim * FLOAT32

    def layer(self, index: int) -> int:
        """Of a layer that computes nothing again."""
        bytes_ = 2 * self.norm(self._config.hidden_size) + self._mask(self._config.window(index))
        bytes_ += self._adapted(index)
        return bytes_ + self._attention() + (self._sparse(self._routing) if self._routing else self._dense())

    def selective(self) -> int:
        """Products of matrices and attention."""
        config = self._config
        outputs = self._heads() + 2 * self._keys() + self._heads()
        outputs += self.gathered() + self._log_sums()  # of the row-parallel product, before it is summed
        if self._routing is None:
            outputs += 2 * self._tokens * config.intermediate_size // self._tp * self._bytes + self.gathered()
        else:
            rows = self._between * self._routing.experts_per_token
            outputs += self._between * self._routing.experts * self._bytes
            if not self._fused:  # a grouped kernel is computed again
                outputs += rows * (2 * self._expert_width() + config.hidden_size) * self._bytes
        return self.residual() + outputs + self._adapted(0)

    def _adapted(self, index: int) -> int:
        """Between the two factors of each adapter; their input is kept as the layer's own."""
        chosen = self._recipe.adapter
        if chosen is None:
            return 0
        layer = f"model.layers.{index}."
        beside = sum(name.startswith(layer) for name in adapted(self._config, chosen))
        return self._tokens * chosen.rank * self._bytes * beside

    def _attention(self) -> int:
        """Its input, queries, keys, values, what it makes of them, and the log-sums."""
        bytes_ = self.gathered() + 2 * self._heads() + 2 * self._keys() + self._log_sums()
        if "q_norm.weight" in self._config.attention_tensors():
            heads = (self._config.num_attention_heads + self._config.num_key_value_heads) // self._tp
            width = self._config.head_dim * (self._bytes if self._fused else 2 * FLOAT32)
            bytes_ += self._tokens * heads * (width + FLOAT32)
            if not self._fused:
                bytes_ += self._heads()  # their layout makes what is attended to one that must be copied
        return bytes_

    def _mask(self, window: int | None) -> int:
        """Where it is a matrix: ring attention makes it anew, block by block."""
        length = self._recipe.data.sequence_length
        if self._layout.cp > 1 or not (self._recipe.data.document_mask or (window is not None and window < length)):
            return 0
        sequences = self._layout.micro_sequences if self._recipe.data.document_mask else 1
        return sequences * length**2 * self._bytes

    def _heads(self) -> int:
        config = self._config
        return self._tokens * config.num_attention_heads // self._tp * config.head_dim * self._bytes

    def _keys(self) -> int:
        config = self._config
        return self._tokens * config.num_key_value_heads // self._tp * config.head_dim * self._bytes

    def _log_sums(self) -> int:
        return self._tokens * self._config.num_attention_heads // self._tp * FLOAT32

    def _dense(self) -> int:
        """Its input; gate, its activation, up, and their product."""
        return self.gathered() + 4 * self._tokens * self._config.intermediate_size // self._tp * self._bytes

    def _expert_width(self) -> int:
        return getattr(self._config, "moe_intermediate_size", self._config.intermediate_size)

    def _sparse(self, routing: Routing) -> int:
        """Its input and the router's choice; the chosen rows before and after the experts, and what experts keep."""
        tokens, chosen = self._between, routing.experts_per_token
        router = routing.experts * FLOAT32 + chosen * (FLOAT32 + 3 * INT64)
        if routing.normalised:
            router += (1 + chosen) * FLOAT32
        if self._layout.ep > 1:
            router += 2 * chosen * INT64  # the order in which rows arrive
        rows = chosen * (2 * self._config.hidden_size + 4 * self._expert_width()) * self._bytes
        return tokens * (self._config.hidden_size * self._bytes + router + rows)
