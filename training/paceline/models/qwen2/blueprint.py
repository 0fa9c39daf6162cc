"""Qwen2 as engines see it."""

from __future__ import annotations

from functools import partial

from paceline.models.blueprint import Blueprint
from paceline.models.qwen2.config import Qwen2Config
from paceline.models.qwen2.model import Qwen2
from paceline.models.qwen2.sharding import PLAN


def qwen2(preset: str, vocabulary: int) -> Blueprint:
    config = Qwen2Config.preset(preset, vocabulary=vocabulary)
    return Blueprint(build=partial(Qwen2, config), sharding=PLAN, initializer_range=config.initializer_range)
