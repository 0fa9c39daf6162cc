"""Rotary positions (Su et al., 2021), in Hugging Face's half-split order, with the stretching of Llama 3.1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from paceline.models.config import DecoderConfig, RopeScaling


@dataclass(frozen=True, kw_only=True, slots=True)
class Rotary:
    """Cosines and sines of every position, each [positions, head_dim], float32.

    Not a tensor, so that what casts a layer's inputs to a lower precision leaves the angles alone.
    """

    cosines: Tensor
    sines: Tensor

    @classmethod
    def of(cls, config: DecoderConfig, positions: Tensor) -> Rotary:
        """The tables for integer `positions` [S]."""
        exponents = torch.arange(0, config.head_dim, 2, device=positions.device, dtype=torch.float32) / config.head_dim
        frequencies = config.rope_theta**-exponents
        if config.rope_scaling is not None:
            frequencies = stretch(frequencies, config.rope_scaling)
        angles = torch.outer(positions.float(), frequencies)
        angles = torch.cat((angles, angles), dim=-1)
        return cls(cosines=angles.cos(), sines=angles.sin())

    def turn(self, x: Tensor) -> Tensor:
        """Turn every pair (x[..., i], x[..., i + head_dim / 2]) of [B, H, S, head_dim] by its position's angle."""
        first, second = x.chunk(2, dim=-1)
        turned = torch.cat((-second, first), dim=-1)
        return (x * self.cosines + turned * self.sines).to(x.dtype)


def stretch(frequencies: Tensor, scaling: RopeScaling) -> Tensor:
    """Slow waves become `factor` times slower, fast ones stay, those between are mixed.

    Source: `apply_scaling` in https://github.com/meta-llama/llama-models/blob/main/models/llama3/model.py
    """
    turns = scaling.original_max_position_embeddings * frequencies / (2 * math.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return kept * frequencies + (1 - kept) * frequencies / scaling.factor
