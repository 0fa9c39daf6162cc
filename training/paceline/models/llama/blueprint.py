"""Llama as engines see it."""

from __future__ import annotations

from functools import partial

from paceline.models.blueprint import Blueprint
from paceline.models.llama.config import LlamaConfig
from paceline.models.llama.model import Llama
from paceline.models.llama.sharding import PLAN


def llama(preset: str, vocabulary: int) -> Blueprint:
    config = LlamaConfig.preset(preset, vocabulary=vocabulary)
    return Blueprint(build=partial(Llama, config), sharding=PLAN, initializer_range=config.initializer_range)
