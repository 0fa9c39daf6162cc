"""Qwen3 with experts as engines see it."""

from __future__ import annotations

from functools import partial

from paceline.models.blueprint import Blueprint
from paceline.models.qwen3_moe.config import Qwen3MoeConfig
from paceline.models.qwen3_moe.model import Qwen3Moe
from paceline.models.qwen3_moe.sharding import PLAN


def qwen3_moe(preset: str, vocabulary: int) -> Blueprint:
    config = Qwen3MoeConfig.preset(preset, vocabulary=vocabulary)
    return Blueprint(build=partial(Qwen3Moe, config), sharding=PLAN, initializer_range=config.initializer_range)
