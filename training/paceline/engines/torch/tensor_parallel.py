"""Tensor parallel: ranks share every matrix product, and with sequence parallel also the positions in between.

Column-parallel products begin and row-parallel ones end a region in which ranks compute on different features (Shoeybi
et al., 2019). Without sequence parallel all ranks repeat what lies between regions; with it each does its positions
(Korthikanti et al., 2022). The vocabulary is shared as well: no rank ever has whole logits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paceline.engines.torch.collectives import all_gather, all_reduce, reduce_scatter, replicate
from paceline.engines.torch.mesh import Axis, Mesh
from paceline.engines.torch.state import Holding, Holdings, part
from paceline.models.lora import LoraLinear
from paceline.models.sharding import ShardingPlan

_Move = Callable[[Tensor], Tensor]


def apply(model: nn.Module, plan: ShardingPlan, mesh: Mesh, holdings: Holdings, *, sequence_parallel: bool) -> None:
    """Keep of a `model` on the meta device this rank's part, and let it talk to the others at the borders."""
    axis = mesh.tp
    if axis.size == 1:
        return

    def enter(hidden: Tensor) -> Tensor:
        return all_gather(hidden, axis) if sequence_parallel else replicate(hidden, axis)

    def leave(hidden: Tensor) -> Tensor:
        return reduce_scatter(hidden, axis) if sequence_parallel else all_reduce(hidden, axis)

    sharing, regions = _Sharing(model, holdings, axis), set()
    for name, module in list(model.named_modules()):
        split = plan.split(name)
        if isinstance(module, LoraLinear) and split in ("columns", "rows"):
            # the factor that has the features which ranks share; of the other each has a part of the gradient
            factor, dimension = ("lora_B", 0) if split == "columns" else ("lora_A", 1)
            sharing.share(f"{name}.{factor}", dimension=dimension)
        if split == "columns":
            sharing.share(name, dimension=0)
            regions.add(name.rpartition(".")[0])
        elif split == "rows":
            assert module.bias is None, "every rank would add it"
            sharing.share(name, dimension=1)
            _after(module, leave)
        elif split == "vocabulary" and isinstance(module, nn.Embedding):
            rows = sharing.share(name, dimension=0)
            model.set_submodule(name, _SharedEmbedding(module.weight, rows.offset[0], leave))
        elif split == "vocabulary" and isinstance(module, nn.Linear):
            sharing.share(name, dimension=0)
            _before(module, enter)
    for region in regions:
        _before(model.get_submodule(region), enter)
    for name, holding in holdings.items():
        inside = any(name.startswith(f"{region}.") for region in regions)
        if name not in sharing.shared and (inside or sequence_parallel):
            holdings[name] = replace(holding, summed_over=(*holding.summed_over, axis))


class _Sharing:
    """Parameters of `model` become this rank's part; those that were tied stay so."""

    def __init__(self, model: nn.Module, holdings: Holdings, axis: Axis) -> None:
        self._model = model
        self._holdings = holdings
        self._axis = axis
        self._parts: dict[nn.Parameter, tuple[nn.Parameter, Holding]] = {}
        self.shared: set[str] = set()

    def share(self, module: str, *, dimension: int) -> Holding:
        """Split the weight of a module along `dimension`, its bias with it; what is held of the weight."""
        owner = self._model.get_submodule(module)
        holding: Holding | None = None
        for name, parameter in list(owner.named_parameters(recurse=False)):
            if parameter not in self._parts:
                self._parts[parameter] = self._split(f"{module}.{name}", parameter, dimension)
            mine, held = self._parts[parameter]
            setattr(owner, name, mine)
            holding = holding or held
        assert holding is not None
        return holding

    def _split(self, name: str, parameter: nn.Parameter, dimension: int) -> tuple[nn.Parameter, Holding]:
        before = self._holdings[name]
        held, shape = part(before, dimension, self._axis)
        assert 0 not in shape, f"{name} is too small to be shared by {self._axis.size} ranks"
        held = replace(held, copies=before.copies // self._axis.size)
        self._holdings[name] = held
        self.shared.add(name)
        return nn.Parameter(torch.empty(shape, dtype=parameter.dtype, device=parameter.device)), held


class _SharedEmbedding(nn.Module):
    """The rows of `weight` begin with token `first`; other tokens are zero here, and what is left of the sum."""

    def __init__(self, weight: Tensor, first: int, leave: _Move) -> None:
        super().__init__()
        self.weight = weight
        self._first = first
        self._leave = leave

    def forward(self, ids: Tensor) -> Tensor:
        rows = ids - self._first
        elsewhere = (rows < 0) | (rows >= self.weight.shape[0])
        hidden = F.embedding(rows.masked_fill(elsewhere, 0), self.weight)
        return self._leave(hidden.masked_fill(elsewhere.unsqueeze(-1), 0))


def _before(module: nn.Module, move: _Move) -> None:
    module.register_forward_pre_hook(lambda _, inputs: (move(inputs[0]), *inputs[1:]))


def _after(module: nn.Module, move: _Move) -> None:
    module.register_forward_hook(lambda _, inputs, output: move(output))
