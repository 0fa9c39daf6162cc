"""The ranks of the compiled cells: those of the parity table, with layers that are traced (test_compiled_parity.py).

The tracer and its derivatives are the real ones; the last step, machine code by Inductor, is left out, because its
compiler takes longer than all the rest of the tests of layouts.
"""

from __future__ import annotations

import sys
from functools import partialmethod
from typing import Any

from torch import nn
from torch._dynamo.utils import counters

from paceline.engines.base import RankContext
from tests.integration import parity_ranks
from tests.integration.parity_cells import COMPILED, Cell

trained = parity_ranks.trained


def traced(family: str, cell: Cell, context: RankContext) -> dict[str, Any]:
    """As a cell is trained, and something of it was traced."""
    counters.clear()
    seen = trained(family, cell, context)
    assert counters["stats"]["unique_graphs"] > 0
    return seen


def main(directory: str) -> None:
    parity_ranks.CELLS[:] = COMPILED
    parity_ranks.trained = traced
    nn.Module.compile = partialmethod(nn.Module.compile, backend="aot_eager")
    parity_ranks.main(directory)


if __name__ == "__main__":
    main(*sys.argv[1:])
