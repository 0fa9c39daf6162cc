"""Every engine against plain PyTorch, over every recipe of the certificate; and a run that changes its engine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.integration.certificate import BOUND, SECONDS, Certificate, measure, missing, render
from tests.integration.certificate_cells import CELLS, CHAIN, ENGINES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(5 * SECONDS)]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "parity-certificate.md"


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return measure()


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_gives_what_plain_pytorch_gives(certificate: Certificate, engine: str) -> None:
    if why := missing(engine):
        pytest.skip(why)
    own = {cell: error for (cell, name), error in certificate.errors.items() if name == engine}
    assert own.keys() == {str(cell) for cell in CELLS}
    assert {c: str(error) for c, error in own.items() if not max(error.loss, error.norm) <= BOUND} == {}


def test_a_run_that_changes_its_engine_is_the_run_that_does_not(certificate: Certificate) -> None:
    for leg in CHAIN["legs"]:
        if why := missing(leg["engine"]):
            pytest.skip(why)
    assert certificate.chain is not None and certificate.chain <= BOUND


def test_the_certificate_is_printed(certificate: Certificate, capsys: pytest.CaptureFixture[str]) -> None:
    page = render(certificate)
    with capsys.disabled():
        sys.stdout.write("\n" + page)
    assert all(f"| {cell} |" in page for cell in CELLS)


def test_the_page_certifies_these_recipes() -> None:
    """Its numbers are of one machine; which recipes in which versions is not."""
    rows = [line.split(" | ")[:2] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    wanted = [[f"| {cell}", f"`{cell.version[:12]}`"] for cell in CELLS]
    assert rows[1:] == wanted, "a recipe changed: make certificate"
