"""Qwen3 as engines see it."""

from __future__ import annotations

from functools import partial

from paceline.models.blueprint import Blueprint
from paceline.models.qwen3.config import Qwen3Config
from paceline.models.qwen3.model import Qwen3
from paceline.models.qwen3.sharding import PLAN


def qwen3(preset: str, vocabulary: int) -> Blueprint:
    config = Qwen3Config.preset(preset, vocabulary=vocabulary)
    return Blueprint(build=partial(Qwen3, config), sharding=PLAN, initializer_range=config.initializer_range)
