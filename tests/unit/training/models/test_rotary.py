from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from paceline.models.config import RopeScaling
from paceline.models.llama.config import LlamaConfig
from paceline.models.rotary import Rotary, stretch

CONFIG = dataclasses.replace(LlamaConfig.preset("debug"), head_dim=8)


def test_rotation_keeps_lengths_and_depends_on_distance_only() -> None:
    generator = torch.Generator().manual_seed(2)
    query, key = torch.randn(2, 1, 1, 1, 8, generator=generator).expand(2, 1, 1, 20, 8)
    rotary = Rotary.of(CONFIG, torch.arange(20))
    turned_query, turned_key = rotary.turn(query)[0, 0], rotary.turn(key)[0, 0]
    torch.testing.assert_close(turned_query.norm(dim=-1), query[0, 0].norm(dim=-1))
    scores = turned_query @ turned_key.T
    for distance in range(-19, 20):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-4)
    assert scores[0].std() > 0.1


@pytest.mark.parametrize("turns, factor", [(0.5, 8.0), (1.0, 8.0), (4.0, 1.0), (100.0, 1.0)])
def test_slow_waves_are_stretched_and_fast_ones_are_not(turns: float, factor: float) -> None:
    scaling = RopeScaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192)
    frequency = torch.tensor([turns * 2 * math.pi / 8192], dtype=torch.float64)
    torch.testing.assert_close(stretch(frequency, scaling), frequency / factor)


def test_a_wave_between_is_mixed() -> None:
    scaling = RopeScaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192)
    frequency = torch.tensor([2.5 * 2 * math.pi / 8192], dtype=torch.float64)
    torch.testing.assert_close(stretch(frequency, scaling), frequency * (1 + 1 / 8) / 2)


def test_only_a_configuration_that_says_so_is_stretched() -> None:
    plain = Rotary.of(CONFIG, torch.arange(20))
    scaling = RopeScaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
    scaled = Rotary.of(dataclasses.replace(CONFIG, rope_scaling=scaling), torch.arange(20))
    assert torch.equal(plain.cosines[:, 0], scaled.cosines[:, 0])
    assert not torch.isclose(plain.cosines[-1, 3], scaled.cosines[-1, 3])
