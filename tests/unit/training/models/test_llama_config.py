from __future__ import annotations

import dataclasses

import pytest
import torch

from paceline.models.layers import PlainLayers
from paceline.models.llama.config import LlamaConfig
from paceline.models.llama.model import Llama
from paceline.spec.errors import RecipeError


@pytest.mark.parametrize("tied", [False, True])
def test_parameter_formula_counts_what_the_model_holds(tied: bool) -> None:
    config = dataclasses.replace(LlamaConfig.preset("debug"), tie_word_embeddings=tied)
    with torch.device("meta"):
        model = Llama(config, PlainLayers())
    assert config.parameters == sum(p.numel() for p in model.parameters())


def test_published_size() -> None:
    # the `total_size` of the published float16 weights, over two bytes
    assert LlamaConfig.preset("llama3-8b").parameters == 16_060_522_496 // 2


def test_vocabulary_of_the_dataset_wins() -> None:
    assert LlamaConfig.preset("debug", vocabulary=300) == dataclasses.replace(
        LlamaConfig.preset("debug"), vocab_size=300
    )


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(RecipeError) as caught:
        LlamaConfig.preset("debgu")
    assert caught.value.render() == ("error: model.preset: llama has no preset `debgu`\n\nhint: did you mean `debug`?")
