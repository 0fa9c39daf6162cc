from __future__ import annotations

import dataclasses

import pytest

from paceline.models.llama.config import LlamaConfig
from paceline.spec.errors import RecipeError


def test_vocabulary_of_the_dataset_wins() -> None:
    assert LlamaConfig.preset("debug", vocabulary=300) == dataclasses.replace(
        LlamaConfig.preset("debug"), vocab_size=300
    )


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(RecipeError) as caught:
        LlamaConfig.preset("debgu")
    assert caught.value.render() == ("error: model.preset: llama has no preset `debgu`\n\nhint: did you mean `debug`?")
