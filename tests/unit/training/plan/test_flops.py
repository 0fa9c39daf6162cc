"""MFU: the convention by hand, the published order of magnitude, and no peak that nobody wrote down."""

from __future__ import annotations

import pytest

from paceline.models.llama.config import LlamaConfig
from paceline.models.mixtral.config import MixtralConfig
from paceline.plan.flops import active_parameters, flops_per_token, peak_flops


def test_6_n_and_12_l_h_s() -> None:
    config = LlamaConfig.preset("debug", vocabulary=512)
    multiply = config.parameters - 512 * config.hidden_size * (not config.tie_word_embeddings)
    assert active_parameters(config) == multiply
    attention = 12 * config.num_hidden_layers * config.num_attention_heads * config.head_dim * 128
    assert flops_per_token(config, 128) == 6 * multiply + attention


def test_of_experts_only_the_chosen_ones_count() -> None:
    config = MixtralConfig.preset("mixtral-8x7b-v0.1")
    assert active_parameters(config) == pytest.approx(12.9e9, rel=0.02)  # "13B active", Jiang et al., 2024
    assert config.parameters == pytest.approx(46.7e9, rel=0.01)


@pytest.mark.parametrize(
    ("device", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA B200", 2250e12),
        ("NVIDIA GeForce RTX 4090", None),
        ("cpu", None),
    ],
)
def test_the_peak_is_the_catalogs_or_unknown(device: str, peak: float | None) -> None:
    assert peak_flops(device) == peak
