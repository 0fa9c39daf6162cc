"""Losses, margins and gradients of every method on two ranks against a few lines of PyTorch in one process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from paceline.recipe.method import PAIRS
from tests.integration.method_cells import CELLS, Cell

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

RANKS = Path(__file__).with_name("method_ranks.py")
BOUND = 1e-5


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    directory = tmp_path_factory.mktemp("methods")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    program = subprocess.Popen([sys.executable, str(RANKS), str(directory)], env=environment, start_new_session=True)
    try:
        assert program.wait(timeout=800) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
    return [torch.load(directory / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_two_ranks_learn_what_one_process_does(seen: list[dict[Any, Any]], cell: Cell) -> None:
    expected, ranks = seen[0][str(cell), "plain"], [rank[str(cell)] for rank in seen]
    for rank in ranks:
        assert rank["loss"] == pytest.approx(expected["loss"], rel=BOUND)
        if cell.method in PAIRS:
            assert rank["margin"] == pytest.approx(expected["margin"], rel=BOUND, abs=BOUND)
    gradients = expected["gradients"]
    assert {name for rank in ranks for name in rank["gradients"]} == gradients.keys()
    scale = max(gradient.abs().max().item() for gradient in gradients.values())
    for name, gradient in gradients.items():
        filled = torch.full_like(gradient, torch.nan)
        for rank in ranks:
            if name in rank["gradients"]:
                local, shape, offset = rank["gradients"][name]
                assert shape == gradient.shape
                filled[tuple(slice(o, o + n) for o, n in zip(offset, local.shape, strict=True))] = local
        assert (filled - gradient).abs().max().item() <= BOUND * scale, name


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell.adapter is not None], ids=str)
def test_the_state_of_an_adapter_holds_no_other_parameter(seen: list[dict[Any, Any]], cell: Cell) -> None:
    parameters = [name for name in seen[0][str(cell)]["names"] if not name.startswith("optimizer.")]
    assert parameters
    assert [name for name in parameters if ".lora_" not in name and not name.startswith("score.")] == []
