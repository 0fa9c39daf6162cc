"""Mistral as engines see it."""

from __future__ import annotations

from functools import partial

from paceline.models.blueprint import Blueprint
from paceline.models.mistral.config import MistralConfig
from paceline.models.mistral.model import Mistral
from paceline.models.mistral.sharding import PLAN


def mistral(preset: str, vocabulary: int) -> Blueprint:
    config = MistralConfig.preset(preset, vocabulary=vocabulary)
    return Blueprint(build=partial(Mistral, config), sharding=PLAN, initializer_range=config.initializer_range)
