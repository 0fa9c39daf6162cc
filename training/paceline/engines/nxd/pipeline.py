"""A model as a list of layers, which NeuronX Distributed cuts into the stages of a pipeline by hand.

Its other way, tracing the model, would have to understand our model code. What a layer needs beside the hidden states,
angles and masks, is a function of positions that every stage computes for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from paceline.models.decoder import CausalLM, DecoderLayer
from paceline.models.rotary import Rotary


class First(nn.Module):
    """Token ids [B, S], as the only thing in a list, -> hidden states. The ends get and give lists in a pipeline that
    is cut by hand (`pipeline/model.py`)."""

    def __init__(self, model: CausalLM) -> None:
        super().__init__()
        self.embed_tokens = model.model.embed_tokens

    def forward(self, given: list[Tensor]) -> Tensor:
        [ids] = given
        hidden: Tensor = self.embed_tokens(ids)
        return hidden


class Middle(nn.Module):
    """Hidden states through one decoder layer."""

    def __init__(self, model: CausalLM, index: int) -> None:
        super().__init__()
        self.layer = cast(DecoderLayer, model.model.layers[index])
        self._config = model.config
        self._kernel = model.model.kernel

    def forward(self, hidden: Tensor) -> Tensor:
        positions = self._kernel.positions(hidden)
        mask = self._kernel.mask(positions, window=self.layer.window, documents=None)
        output: Tensor = self.layer(hidden, Rotary.of(self._config, positions), mask)
        return output


class Last(nn.Module):
    """Hidden states -> logits, as the only thing in a list."""

    def __init__(self, model: CausalLM) -> None:
        super().__init__()
        self.norm = model.model.norm
        self.lm_head = model.lm_head

    def forward(self, hidden: Tensor) -> list[Tensor]:
        return [self.lm_head(self.norm(hidden))]


def as_list(model: CausalLM) -> list[nn.Module]:
    """`model` in the order in which its parts are run."""
    middle = [Middle(model, index) for index in range(len(model.model.layers))]
    return [First(model), *middle, Last(model)]


def stages(layers: Sequence[nn.Module], number: int) -> dict[nn.Module, int]:
    """Which of `number` stages has which of `layers`: an equal part of the decoder layers, the ends with theirs."""
    first, *middle, last = layers
    cuts = [stage * len(middle) // number for stage in range(number + 1)]
    own = {layer: stage for stage in range(number) for layer in middle[cuts[stage] : cuts[stage + 1]]}
    return {first: 0, **own, last: number - 1}
