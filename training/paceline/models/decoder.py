"""The decoder that all families share: embedding, layers, norm and language-model head.

Parameter names and layouts are those of Hugging Face's `...ForCausalLM`, so weights go in and out without mapping.
A family's `model.py` says of what a layer is made.
Shapes in comments: B sequences, S positions, H heads, D head size, E hidden size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, cast

from torch import Tensor, nn

from paceline.models.attention import Attention
from paceline.models.config import DecoderConfig
from paceline.models.layers import LayerFactory
from paceline.models.rotary import Rotary

if TYPE_CHECKING:
    from paceline.models.kernels import Mask


class DecoderLayer(nn.Module):
    """Attention and feed-forward, each normed before and added after."""

    feed_forward_name: ClassVar[str] = "mlp"

    def __init__(
        self, config: DecoderConfig, layers: LayerFactory, *, attention: Attention, feed_forward: nn.Module
    ) -> None:
        super().__init__()
        self.window = attention.window
        self.input_layernorm = layers.rms_norm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = attention
        self.post_attention_layernorm = layers.rms_norm(config.hidden_size, config.rms_norm_eps)
        self.add_module(self.feed_forward_name, feed_forward)

    def forward(self, hidden: Tensor, rotary: Rotary, mask: Mask) -> Tensor:
        feed_forward = self.get_submodule(self.feed_forward_name)
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), rotary, mask)
        output: Tensor = hidden + feed_forward(self.post_attention_layernorm(hidden))
        return output


class Decoder(nn.Module):
    """Token ids [B, S] -> normed hidden states [B, S, E]."""

    def __init__(self, config: DecoderConfig, layers: LayerFactory, layer: Callable[[int], DecoderLayer]) -> None:
        super().__init__()
        self.config = config
        self.kernel = layers.attention
        self.embed_tokens = layers.embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(layer(index) for index in range(config.num_hidden_layers))
        self.norm = layers.rms_norm(config.hidden_size, config.rms_norm_eps)

    def forward(self, ids: Tensor, documents: Tensor | None = None) -> Tensor:
        hidden = self.embed_tokens(ids)
        # made anew in every pass: cheap beside a layer, and a buffer would have to survive meta-device building
        positions = self.kernel.positions(ids)
        rotary = Rotary.of(self.config, positions)
        layers = [cast(DecoderLayer, layer) for layer in self.layers]
        windows = {layer.window for layer in layers}
        masks = {window: self.kernel.mask(positions, window=window, documents=documents) for window in windows}
        for layer in layers:
            hidden = layer(hidden, rotary, masks[layer.window])
        normed: Tensor = self.norm(hidden)
        return normed


class CausalLM(nn.Module):
    """A decoder with its language-model head: token ids [B, S] -> logits [B, S, vocab_size].

    `documents` [B, S] numbers the documents that are packed into a sequence; none sees another. Positions go on
    across documents, because rotary attention depends on distances only.
    """

    def __init__(self, config: DecoderConfig, layers: LayerFactory, layer: Callable[[int], DecoderLayer]) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config, layers, layer)
        self.lm_head = layers.linear(config.hidden_size, config.vocab_size)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        self._head = "lm_head"

    def end_with_score(self, layers: LayerFactory) -> None:
        """Give every position a score [B, S, 1] instead of logits, as `...ForSequenceClassification` of one label."""
        del self.lm_head
        self.score = layers.linear(self.config.hidden_size, 1)
        self._head = "score"

    def forward(self, ids: Tensor, documents: Tensor | None = None) -> Tensor:
        logits: Tensor = self.get_submodule(self._head)(self.model(ids, documents))
        return logits
