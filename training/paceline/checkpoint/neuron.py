"""Between the tensors that ranks of NeuronX Distributed hold and logical tensors, both ways.

Of a model: shared by columns, rows and vocabulary over tp, cut by layers over pp, queries, keys and values apart or in
one, gate and up apart or in one, key/value heads repeated where there are fewer than ranks. Of its optimizer (ZeRO-1):
the same, dealt along the first dimension over dp. Sources: neuronx_distributed 0.18, `modules/qkv_linear.py` (repeated
heads), `scripts/checkpoint_converter.py` (order of queries beside them), `trainer/checkpoint.py`; torch-xla 2.9,
`distributed/zero_redundancy_optimizer.py` (chunks).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from paceline.models.config import DecoderConfig
from paceline.models.families import SHARDING

Tensors = dict[str, Tensor]
Place = tuple[int, int]
"""A rank's numbers along (pp, tp)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """How a checkpoint is laid out. `kv_copies` ranks hold each key/value head: neighbours if `adjacent`, as on trn2,
    or every so many-th rank, as on trn1."""

    tp: int = 1
    pp: int = 1
    kv_copies: int = 1
    adjacent: bool = True
    fused_qkv: bool = False
    fused_gate_up: bool = False

    @property
    def one_module(self) -> bool:
        """Whether queries, keys and values are of one module, `qkv_proj`."""
        return self.fused_qkv or self.kv_copies > 1

    def key_value_block(self, rank: int) -> int:
        """Which of the tp / kv_copies blocks of key/value heads `rank` holds."""
        return rank // self.kv_copies if self.adjacent else rank % (self.tp // self.kv_copies)

    def query_block(self, rank: int) -> int:
        """Which of the tp blocks of query heads `rank` holds: one that attends to its key/value heads."""
        return (
            rank if self.adjacent else self.key_value_block(rank) * self.kv_copies + rank // (self.tp // self.kv_copies)
        )


def to_ranks(tensors: Mapping[str, Tensor], config: DecoderConfig, form: Form) -> dict[Place, Tensors]:
    """What every rank holds of `tensors`, which have the names and shapes of parameters."""
    ranks: dict[Place, Tensors] = {}
    for pp in range(form.pp):
        own = {name: tensor for name, tensor in tensors.items() if _stage(name, config, form) == pp}
        for tp in range(form.tp):
            cut = {name: _cut(tensor, _axis(name, config), *_block(name, form, tp)) for name, tensor in own.items()}
            ranks[pp, tp] = _fuse(cut, form)
    return ranks


def from_ranks(ranks: Mapping[Place, Tensors], config: DecoderConfig, form: Form) -> Tensors:
    """The logical tensors of what all ranks hold; KeyError for a rank or a tensor that is missing."""
    apart = {place: _unfuse(held, config, form) for place, held in ranks.items()}
    whole: Tensors = {}
    for name in config.tensors():
        parts: dict[int, Tensor] = {}
        for tp in range(form.tp):
            block, _ = _block(name, form, tp)
            parts.setdefault(block, apart[_stage(name, config, form), tp][name])
        axis = _axis(name, config)
        whole[name] = parts[0] if axis is None else torch.cat([parts[n] for n in range(len(parts))], dim=axis)
    return whole


def deal(tensor: Tensor, ranks: int) -> list[Tensor]:
    """The equal chunks of `tensor` along its first dimension that `ranks` of ZeRO-1 hold, the last filled up."""
    missing = -tensor.shape[0] % ranks
    filled = F.pad(tensor, [0, 0] * (tensor.dim() - 1) + [0, missing]) if missing else tensor
    return [chunk.clone() for chunk in filled.chunk(ranks)]


def gather(chunks: list[Tensor], shape: torch.Size) -> Tensor:
    """The tensor of `shape` that was dealt."""
    return torch.cat(chunks)[: shape[0]]


def numbered(names: Mapping[str, Tensor]) -> list[str]:
    """The parameters of a rank in the order in which its optimizer counts them: those with weight decay, matrices,
    before those without, as NeuronX Distributed's examples and the engine make their groups."""
    return [name for name, t in names.items() if t.dim() > 1] + [name for name, t in names.items() if t.dim() <= 1]


def infer(ranks: Mapping[Place, Tensors], config: DecoderConfig) -> Form:
    """The form of a checkpoint, told from its names, shapes and repetitions; KeyError where it has no attention."""
    names = [name for held in ranks.values() for name in held]
    tp, pp = 1 + max(place[1] for place in ranks), 1 + max(place[0] for place in ranks)
    fused = any(name.endswith("qkv_proj.weight_qkv") for name in names)
    heads = config.head_dim * config.num_key_value_heads
    first = "model.layers.0.self_attn."
    if fused:
        queries = config.num_attention_heads * config.head_dim // tp
        keys = (ranks[0, 0][f"{first}qkv_proj.weight_qkv"].shape[0] - queries) // 2
    else:
        leaf = "qkv_proj.weight_k" if f"{first}qkv_proj.weight_k" in ranks[0, 0] else "k_proj.weight"
        keys = ranks[0, 0][first + leaf].shape[0]
    form = Form(
        tp=tp,
        pp=pp,
        kv_copies=keys * tp // heads,
        fused_qkv=fused,
        fused_gate_up=any(name.endswith("gate_up_proj.weight") for name in names),
    )
    key = f"{first}k_proj.weight"
    strided = form.kv_copies > 1 and not torch.equal(*(_unfuse(ranks[0, rank], config, form)[key] for rank in (0, 1)))
    return replace(form, adjacent=not strided)


def _stage(name: str, config: DecoderConfig, form: Form) -> int:
    """The stage that has the parameter: equal parts of the layers, the ends with theirs."""
    parts = name.split(".")
    if parts[1] != "layers":
        return 0 if name == "model.embed_tokens.weight" else form.pp - 1
    cuts = [(stage + 1) * config.num_hidden_layers // form.pp for stage in range(form.pp)]
    return next(stage for stage, cut in enumerate(cuts) if int(parts[2]) < cut)


def _axis(name: str, config: DecoderConfig) -> int | None:
    """Along which dimension ranks share the parameter, if they do."""
    split = SHARDING[config.family].split(name.rpartition(".")[0])
    return {"columns": 0, "vocabulary": 0, "rows": 1, None: None}[split]


def _block(name: str, form: Form, tp: int) -> tuple[int, int]:
    """Which of how many equal blocks of the parameter the rank `tp` holds."""
    leaf = name.split(".")[-2]
    if leaf in ("k_proj", "v_proj"):
        return form.key_value_block(tp), form.tp // form.kv_copies
    return (form.query_block(tp) if leaf in ("q_proj", "o_proj") else tp), form.tp


def _cut(tensor: Tensor, axis: int | None, block: int, blocks: int) -> Tensor:
    return tensor.clone() if axis is None else tensor.chunk(blocks, dim=axis)[block].clone()


def _fuse(held: Tensors, form: Form) -> Tensors:
    fused: Tensors = {}
    for name, tensor in held.items():
        module, leaf, kind = name.rsplit(".", 2) if name.count(".") > 2 else ("", "", "")
        if form.one_module and leaf in ("q_proj", "k_proj", "v_proj"):
            if not form.fused_qkv:
                fused[f"{module}.qkv_proj.{kind}_{leaf[0]}"] = tensor
            elif leaf == "q_proj":
                three = [held[f"{module}.{x}_proj.{kind}"] for x in "qkv"]
                fused[f"{module}.qkv_proj.{kind}_qkv"] = torch.cat(three)
        elif form.fused_gate_up and leaf in ("gate_proj", "up_proj"):
            if leaf == "gate_proj":
                fused[f"{module}.gate_up_proj.{kind}"] = torch.cat([tensor, held[f"{module}.up_proj.{kind}"]])
        else:
            fused[name] = tensor
    return fused


def _unfuse(held: Tensors, config: DecoderConfig, form: Form) -> Tensors:
    return dict(pair for name, tensor in held.items() for pair in _apart(name, tensor, config, form))


def _apart(name: str, tensor: Tensor, config: DecoderConfig, form: Form) -> Iterator[tuple[str, Tensor]]:
    module, _, leaf = name.rpartition(".")
    owner, _, last = module.rpartition(".")
    kind, _, which = leaf.partition("_")
    if last == "qkv_proj" and which == "qkv":
        keys = config.num_key_value_heads * config.head_dim * form.kv_copies // form.tp
        for x, part in zip("qkv", torch.split(tensor, [tensor.shape[0] - 2 * keys, keys, keys]), strict=True):
            yield f"{owner}.{x}_proj.{kind}", part
    elif last == "qkv_proj":
        yield f"{owner}.{which}_proj.{kind}", tensor
    elif last == "gate_up_proj":
        gate, up = tensor.chunk(2)
        yield f"{owner}.gate_proj.{leaf}", gate
        yield f"{owner}.up_proj.{leaf}", up
    else:
        yield name, tensor
