"""What a model says about how it may be split over ranks; an engine carries it out. No torch: planners read it too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol


class Modules(Protocol):
    """A torch.nn.Module, for those who start without torch."""

    def named_modules(self) -> Any: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardingPlan:
    """Declared by name patterns, in which `*` stands for one part of a dotted module name; none matches the root.

    `units`: modules whose parameters are gathered together, just before they are used; what is left over is gathered
    with the root.
    `columns` and `rows`: linear modules that ranks may share by output and by input features (Shoeybi et al., 2019).
    `vocabulary`: the embedding and the linear head that they may share by token. The rest is whole on every rank.
    `experts`: modules each of whose parameters holds one slice per expert along its first dimension. The slices are
    the logical tensors: `experts.gate_proj.weight` holds `experts.0.gate_proj.weight` and so on.
    """

    units: tuple[str, ...]
    columns: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ("model.embed_tokens", "lm_head")
    experts: tuple[str, ...] = ()

    def unit_modules(self, model: Modules) -> Iterator[Any]:
        """The modules of `model` that are units, in the order in which they are defined."""
        for name, module in model.named_modules():
            if name and any(_matches(name, pattern) for pattern in self.units):
                yield module

    def expert_modules(self, model: Modules) -> Iterator[Any]:
        """The modules of `model` that hold experts, in the order in which they are defined."""
        for name, module in model.named_modules():
            if name and any(_matches(name, pattern) for pattern in self.experts):
                yield module

    def split(self, module: str) -> Literal["columns", "rows", "vocabulary"] | None:
        """How ranks may share the module of this name, if they may."""
        if any(_matches(module, pattern) for pattern in self.columns):
            return "columns"
        if any(_matches(module, pattern) for pattern in self.vocabulary):
            return "vocabulary"
        return "rows" if any(_matches(module, pattern) for pattern in self.rows) else None

    def stacked(self, tensor: str) -> tuple[str, int] | None:
        """The parameter that holds an expert's logical `tensor`, and the expert; None if it is not of an expert."""
        parts = tensor.split(".")
        for end in range(1, len(parts) - 1):
            if parts[end].isdigit() and any(_matches(".".join(parts[:end]), pattern) for pattern in self.experts):
                return ".".join([*parts[:end], *parts[end + 1 :]]), int(parts[end])
        return None

    def unit(self, parameter: str) -> str | None:
        """The name of the unit that `parameter` is gathered with; None if with the root."""
        parts = parameter.split(".")
        prefixes = (".".join(parts[:end]) for end in range(1, len(parts)))
        return next((name for name in prefixes if any(_matches(name, pattern) for pattern in self.units)), None)

    def expert_tensor(self, parameter: str, expert: int) -> str | None:
        """The name of one expert's slice of `parameter`, or None if that is not a parameter of experts."""
        parts = parameter.split(".")
        for end in range(1, len(parts)):
            if any(_matches(".".join(parts[:end]), pattern) for pattern in self.experts):
                return ".".join([*parts[:end], str(expert), *parts[end:]])
        return None


def _matches(name: str, pattern: str) -> bool:
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))
