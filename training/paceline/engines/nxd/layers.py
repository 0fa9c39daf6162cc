"""Layers whose weights tensor-parallel ranks share, put in the place of a model's plain ones by its plan.

The model is on the meta device. Names and what they mean stay those of the model: what this rank has of a parameter is
noted in `Holdings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from neuronx_distributed.parallel_layers import mappings, parallel_state
from neuronx_distributed.parallel_layers.layers import ColumnParallelLinear, ParallelEmbedding, RowParallelLinear
from torch import Tensor, nn

from paceline.models.decoder import CausalLM
from paceline.models.kernels import AttentionKernel
from paceline.models.layers import PlainLayers
from paceline.models.lora import LoraLinear
from paceline.models.sharding import ShardingPlan
from paceline.plan.neuron import kv_replication
from paceline.recipe.schema import Parallelism

POSITIONS = 1  # the dimension of [B, S, ...] along which ranks share a sequence


class NxdLayers(PlainLayers):
    """Plain layers with the attention of this engine; ranks share nothing yet."""

    def __init__(self, attention: AttentionKernel) -> None:
        super().__init__()
        self.attention = attention


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """What this rank holds of the logical tensor `name`: the block from `offset` of `global_shape`."""

    name: str
    global_shape: tuple[int, ...]
    offset: tuple[int, ...]


Holdings = dict[str, Holding]


def share(model: CausalLM, plan: ShardingPlan, chosen: Parallelism) -> Holdings:
    """Put shared layers into `model`; what this rank then holds of every parameter.

    A key/value head is held by several ranks where there are fewer heads than ranks.
    """
    whole = {name: tuple(p.shape) for name, p in model.named_parameters(remove_duplicate=False)}
    sharing = _Sharing(model, whole, chosen)
    if sharing.ranks > 1:
        for name, module in list(model.named_modules()):
            split = plan.split(name)
            if isinstance(module, LoraLinear):
                sharing.adapter(name, module, split)
            elif split is not None and isinstance(module, nn.Linear | nn.Embedding):
                sharing.put(name, module, split)
        if model.config.tie_word_embeddings and hasattr(model, "lm_head"):
            model.lm_head.weight = model.model.embed_tokens.weight
        sharing.mark_partial_gradients(plan)
    return {
        name: sharing.held.get(
            name, Holding(name=name, global_shape=tuple(parameter.shape), offset=(0,) * parameter.dim())
        )
        for name, parameter in model.named_parameters()
    }


class _Sharing:
    def __init__(self, model: CausalLM, whole: dict[str, tuple[int, ...]], chosen: Parallelism) -> None:
        self._model = model
        self._whole = whole
        self.ranks = parallel_state.get_tensor_model_parallel_size()
        self._rank = parallel_state.get_tensor_model_parallel_rank()
        self._positions = chosen.sequence_parallel and self.ranks > 1
        self._along: dict[str, Any] = {
            "sequence_parallel_enabled": self._positions,
            "sequence_dimension": POSITIONS if self._positions else None,
            "device": torch.device("meta"),
        }
        self._copies = kv_replication(model.config.num_key_value_heads, self.ranks) or 1
        if self._copies > 1:
            parallel_state.initialize_kv_group(self._copies, sequential_ranks_in_group=True)
        self.held: Holdings = {}

    def put(self, name: str, module: nn.Linear | nn.Embedding, split: str) -> None:
        """The shared form of `module` in its place."""
        rows, columns = module.weight.shape
        bias = getattr(module, "bias", None) is not None
        made: nn.Module
        copies = 1
        with torch.device("meta"):
            if isinstance(module, nn.Embedding):
                kind = SequenceEmbedding if self._positions else ParallelEmbedding
                made = kind(rows, columns, device=torch.device("meta"), collect_output=not self._positions)
            elif split == "rows":
                made = RowParallelLinear(columns, rows, bias=False, input_is_parallel=True, **self._along)
            elif self._copies > 1 and _is_key_or_value(name):
                copies = self._copies
                made = SharedHeads(columns, rows * copies // self.ranks, bias=bias, positions=self._positions)
            else:
                made = ColumnParallelLinear(columns, rows, bias=bias, gather_output=False, **self._along)
        for leaf, parameter in made.named_parameters():
            parameter.requires_grad_(module.weight.requires_grad)
            self._note(f"{name}.{leaf}", parameter, copies)
        self._model.set_submodule(name, made)

    def adapter(self, name: str, module: LoraLinear, split: str | None) -> None:
        """An adapter beside a shared layer: of its factors, the one that has the shared features is shared too."""
        assert split in ("columns", "rows"), "adapters are beside layers that ranks share"
        frozen = nn.Linear(module.weight.shape[1], module.weight.shape[0], bias=module.bias is not None, device="meta")
        frozen.requires_grad_(False)
        self._model.set_submodule(name, ParallelLora(frozen, module))
        self.put(f"{name}.base", frozen, split)
        factor = "lora_B" if split == "columns" else "lora_A"
        self.put(f"{name}.{factor}", getattr(module, factor), split)

    def mark_partial_gradients(self, plan: ShardingPlan) -> None:
        """Tell the optimizer of which whole parameters ranks have parts of the gradient: those that see a part of the
        positions, or of the heads."""
        heads = {name.rpartition(".")[0] for name, _ in self._model.named_modules() if plan.split(name) == "columns"}
        for name, parameter in self._model.named_parameters():
            inside = any(name.startswith(f"{region}.") for region in heads)
            if name not in self.held and (self._positions or (inside and "_norm." in name)):
                parameter.sequence_parallel_enabled = True  # type: ignore[attr-defined]

    def _note(self, name: str, parameter: nn.Parameter, copies: int) -> None:
        logical = name.replace(".base.", ".")
        shape = self._whole[logical]
        [dimension] = [d for d, size in enumerate(parameter.shape) if size != shape[d]] or [0]
        first = self._rank // copies * parameter.shape[dimension]
        offset = tuple(first if d == dimension else 0 for d in range(len(shape)))
        self.held[name] = Holding(name=logical, global_shape=shape, offset=offset)


class SequenceEmbedding(ParallelEmbedding):  # type: ignore[misc]  # as typed as its library
    """Ids [B, S] -> [B, S / n, out]. ParallelEmbedding itself would scatter along the first dimension only, and does
    not sum at all where another is named."""

    def forward(self, input_: Tensor) -> Tensor:
        scattered: Tensor = mappings.reduce_scatter_to_sequence_parallel_region(
            super().forward(input_), sequence_dimension=POSITIONS
        )
        return scattered


class SharedHeads(nn.Module):
    """A column-parallel layer of key or value heads each of which several ranks hold; [B, S / n, in] -> [B, S, out].

    NeuronX Distributed's own (`GQAQKVColumnParallelLinear`) shares positions along the first dimension only, and does
    not sum the gradients of biases over those that hold the same.
    """

    def __init__(self, in_features: int, out_features: int, *, bias: bool, positions: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None
        self._positions = positions
        first = dist.get_rank(parallel_state.get_kv_shared_group()) == 0
        for parameter in self.parameters():
            parameter.tensor_model_parallel = True  # type: ignore[attr-defined]
            parameter.partition_dim = 0  # type: ignore[attr-defined]
            parameter.partition_stride = 1  # type: ignore[attr-defined]
            parameter.num_partitions = parallel_state.get_tensor_model_parallel_size()  # type: ignore[attr-defined]
            # in the gradient norm a head counts once, whoever holds it
            parameter.shared = not first  # type: ignore[attr-defined]

    def forward(self, hidden: Tensor) -> Tensor:
        if self._positions:
            entered = mappings.gather_from_sequence_parallel_region(hidden, sequence_dimension=POSITIONS)
        else:
            entered = mappings.copy_to_tensor_model_parallel_region(hidden)
        # forward nothing, backward the sum over those that hold the same heads
        holders = parallel_state.get_kv_shared_group()
        weight = mappings.copy_to_tensor_model_parallel_region(self.weight, process_group=holders)
        if self.bias is None:
            return F.linear(entered, weight)
        return F.linear(
            entered, weight, mappings.copy_to_tensor_model_parallel_region(self.bias, process_group=holders)
        )


class ParallelLora(nn.Module):
    """x -> base x + scale * up(down(x)); without the second part while it is not `active`. See models.lora."""

    def __init__(self, base: nn.Module, plain: LoraLinear) -> None:
        super().__init__()
        self.base = base
        self.lora_A = plain.lora_A
        self.lora_B = plain.lora_B
        self.scale = plain.scale
        self.active = True

    def forward(self, x: Tensor) -> Tensor:
        frozen: Tensor = self.base(x)
        return frozen + self.scale * self.lora_B(self.lora_A(x)) if self.active else frozen


def _is_key_or_value(name: str) -> bool:
    return name.removesuffix(".base").removesuffix(".lora_B").rpartition(".")[2] in ("k_proj", "v_proj")
