"""Layers that torch.compile traces, in a ring and in a pipeline, against plain PyTorch in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.parity_cells import COMPILED
from tests.integration.parity_table import BOUND, SECONDS, measure

pytestmark = pytest.mark.integration

RANKS = Path(__file__).with_name("compiled_ranks.py")


@pytest.mark.timeout(SECONDS + 30)
def test_parity_of_compiled_layers_with_one_process() -> None:
    errors = measure(RANKS, COMPILED)
    assert len(errors) == len(COMPILED)
    assert {cell: error for cell, error in errors.items() if not error <= BOUND} == {}
