"""What a model says about how it may be split over ranks; an engine carries it out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardingPlan:
    """Declared by name patterns, in which `*` stands for one part of a dotted module name; none matches the root.

    `units`: modules whose parameters are gathered together, just before they are used; what is left over is gathered
    with the root.
    """

    units: tuple[str, ...]

    def unit_modules(self, model: nn.Module) -> Iterator[nn.Module]:
        """The modules of `model` that are units, in the order in which they are defined."""
        for name, module in model.named_modules():
            if name and any(_matches(name, pattern) for pattern in self.units):
                yield module


def _matches(name: str, pattern: str) -> bool:
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))
