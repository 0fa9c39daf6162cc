"""Mixtral as engines see it."""

from __future__ import annotations

from functools import partial

from paceline.models.blueprint import Blueprint
from paceline.models.mixtral.config import MixtralConfig
from paceline.models.mixtral.model import Mixtral
from paceline.models.mixtral.sharding import PLAN


def mixtral(preset: str, vocabulary: int) -> Blueprint:
    config = MixtralConfig.preset(preset, vocabulary=vocabulary)
    return Blueprint(build=partial(Mixtral, config), sharding=PLAN, initializer_range=config.initializer_range)
