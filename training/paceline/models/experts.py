"""The feed-forward of a sparse layer: a router sends every token to a few of many experts.

Shapes in comments: T tokens, E experts, K experts per token. Nothing is dropped and nothing is padded: the rows of the
chosen experts are sorted by expert, and every expert multiplies its own rows. What comes in and goes out of `Experts`
is all that a rank needs to exchange when the experts are spread over ranks.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paceline.models.config import SWIGLU_NAMES, Routing
from paceline.models.layers import LayerFactory


class Experts(nn.Module):
    """SwiGLU of each expert on its own rows: [N, hidden] sorted by expert, rows per expert [E] -> [N, hidden].

    Each parameter holds one slice per expert along its first dimension.
    """

    names: ClassVar[tuple[str, str, str]] = SWIGLU_NAMES

    def __init__(self, experts: int, hidden: int, intermediate: int, layers: LayerFactory) -> None:
        super().__init__()
        gate, up, down = self.names
        self.add_module(gate, layers.grouped_linear(experts, hidden, intermediate))
        self.add_module(up, layers.grouped_linear(experts, hidden, intermediate))
        self.add_module(down, layers.grouped_linear(experts, intermediate, hidden))

    def forward(self, rows: Tensor, counts: Tensor) -> Tensor:
        gate, up, down = (self.get_submodule(name) for name in self.names)
        projected: Tensor = down(F.silu(gate(rows, counts)) * up(rows, counts), counts)
        return projected


class SparseFeedForward(nn.Module):
    """[..., hidden] -> [..., hidden], the weighted sum over the chosen experts of each token."""

    def __init__(self, routing: Routing, experts: Experts, hidden: int, layers: LayerFactory) -> None:
        super().__init__()
        self.routing = routing
        self.layers = layers
        self.gate = layers.linear(hidden, routing.experts)
        self.experts = experts

    def forward(self, hidden: Tensor) -> Tensor:
        tokens = hidden.flatten(0, -2)
        probabilities = self.gate(tokens).float().softmax(dim=-1)  # [T, E]
        weights, chosen = probabilities.topk(self.routing.experts_per_token, dim=-1)  # [T, K]
        if self.routing.normalised:
            weights = weights / weights.sum(dim=-1, keepdim=True)
        counts = torch.zeros(self.routing.experts, dtype=torch.int64, device=chosen.device)
        counts.scatter_add_(0, chosen.flatten(), torch.ones_like(chosen).flatten())
        order = chosen.flatten().argsort(stable=True)  # sorted place -> token * K + choice
        rows = self.layers.apply_experts(self.experts, tokens[order // self.routing.experts_per_token], counts)
        # put back by a permutation and summed in the order of choice: adding in place is not the same twice on a GPU
        back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        mixed = (rows[back].view(*chosen.shape, -1) * weights.unsqueeze(-1)).sum(dim=1).to(hidden.dtype)
        counts = self.layers.all_counts(counts)
        shares = counts * self.routing.experts_per_token / counts.sum()
        balanced = self.layers.add_loss(mixed, self.routing.balance * balance_loss(probabilities, shares) * len(tokens))
        return balanced.view_as(hidden)


def balance_loss(probabilities: Tensor, shares: Tensor) -> Tensor:
    """How unevenly tokens, whose router gave `probabilities` [T, E], went to experts that got `shares` [E] of them.

    E times the sum over experts of (share of tokens that it got) times (its mean probability): Fedus et al., 2021,
    equations 4 to 6. A scalar; K when all are equal. With the shares of a whole of which these tokens are a part, the
    means over all parts are the loss of the whole.
    """
    return probabilities.shape[1] * (shares * probabilities.mean(dim=0)).sum()
