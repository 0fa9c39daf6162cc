"""Llama: pre-norm decoder with RMSNorm, rotary positions, grouped-query attention and SwiGLU.

Parameter names and layouts are those of Hugging Face's LlamaForCausalLM, so weights go in and out without mapping.
Shapes in comments: B sequences, S positions, H heads, D head size, E hidden size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paceline.models.layers import LayerFactory
from paceline.models.llama.config import LlamaConfig


def rotary_tables(positions: int, head_dim: int, theta: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each [positions, head_dim], float32 (Su et al., 2021, in Hugging Face's half-split order)."""
    frequencies = theta ** -(torch.arange(0, head_dim, 2, device=device, dtype=torch.float32) / head_dim)
    angles = torch.outer(torch.arange(positions, device=device, dtype=torch.float32), frequencies)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn every pair (x[..., i], x[..., i + D/2]) of [B, H, S, D] by the angle of its position."""
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (x * cosines + turned * sines).to(x.dtype)


class Attention(nn.Module):
    """Causal self-attention in which groups of query heads share a key/value head."""

    def __init__(self, config: LlamaConfig, layers: LayerFactory) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        queries = config.num_attention_heads * self.head_dim
        keys = config.num_key_value_heads * self.head_dim
        self.q_proj = layers.linear(config.hidden_size, queries)
        self.k_proj = layers.linear(config.hidden_size, keys)
        self.v_proj = layers.linear(config.hidden_size, keys)
        self.o_proj = layers.linear(queries, config.hidden_size)

    def forward(self, hidden: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        query = rotate(self._heads(self.q_proj(hidden)), cosines, sines)
        key = rotate(self._heads(self.k_proj(hidden)), cosines, sines)
        value = self._heads(self.v_proj(hidden))
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        projected: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return projected

    def _heads(self, projected: Tensor) -> Tensor:
        # [B, S, H * D] -> [B, H, S, D]; H from the tensor, because a rank may hold a part of the heads
        return projected.view(*projected.shape[:-1], -1, self.head_dim).transpose(1, 2)


class FeedForward(nn.Module):
    """SwiGLU (Shazeer, 2020)."""

    def __init__(self, config: LlamaConfig, layers: LayerFactory) -> None:
        super().__init__()
        self.gate_proj = layers.linear(config.hidden_size, config.intermediate_size)
        self.up_proj = layers.linear(config.hidden_size, config.intermediate_size)
        self.down_proj = layers.linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        projected: Tensor = self.down_proj(F.silu(self.gate_proj(hidden)) * self.up_proj(hidden))
        return projected


class DecoderLayer(nn.Module):
    """Attention and feed-forward, each normed before and added after."""

    def __init__(self, config: LlamaConfig, layers: LayerFactory) -> None:
        super().__init__()
        self.input_layernorm = layers.rms_norm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, layers)
        self.post_attention_layernorm = layers.rms_norm(config.hidden_size, config.rms_norm_eps)
        self.mlp = FeedForward(config, layers)

    def forward(self, hidden: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), cosines, sines)
        output: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden))
        return output


class Decoder(nn.Module):
    """Token ids [B, S] -> normed hidden states [B, S, E]."""

    def __init__(self, config: LlamaConfig, layers: LayerFactory) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = layers.embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config, layers) for _ in range(config.num_hidden_layers))
        self.norm = layers.rms_norm(config.hidden_size, config.rms_norm_eps)

    def forward(self, ids: Tensor) -> Tensor:
        hidden = self.embed_tokens(ids)
        # made anew in every pass: cheap beside a layer, and a buffer would have to survive meta-device building
        tables = rotary_tables(ids.shape[1], self.config.head_dim, self.config.rope_theta, ids.device)
        for layer in self.layers:
            hidden = layer(hidden, *tables)
        normed: Tensor = self.norm(hidden)
        return normed


class Llama(nn.Module):
    """A Llama with its language-model head: token ids [B, S] -> logits [B, S, vocab_size]."""

    def __init__(self, config: LlamaConfig, layers: LayerFactory) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config, layers)
        self.lm_head = layers.linear(config.hidden_size, config.vocab_size)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.lm_head(self.model(ids))
        return logits
