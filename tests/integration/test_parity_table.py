"""Every layout against one process: losses, gradient norms and all gradients."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.integration.parity_cells import CELLS
from tests.integration.parity_table import BOUND, SECONDS, measure, render

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "parity.md"


@pytest.mark.timeout(SECONDS + 30)
def test_parity_of_every_layout_with_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    errors = measure()
    with capsys.disabled():
        sys.stdout.write("\n" + render(errors))
    assert {cell: error for cell, error in errors.items() if not error <= BOUND} == {}


def test_the_parity_page_has_the_layouts_that_are_measured() -> None:
    """Its numbers are of one machine; which layouts there are is not."""
    rows = [line.split(" | ")[:2] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert rows[1:] == [[f"| {cell.name}", str(cell.ranks)] for cell in CELLS]
