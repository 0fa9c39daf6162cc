"""The engine nxd on two ranks against the engine torch in one process: losses, gradient norms, state.

By default `neuronx_distributed` is the CPU surface beside this file. With PACELINE_NXD_SOURCE set to a checkout of the
genuine source, `pytest -m nxd_genuine` runs the same cells against that (docs/concepts/neuron.md).
"""

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

from tests.neuron.cells import CELLS, Cell

HERE = Path(__file__).parent
SURFACE = HERE / "surface"
CHECKOUT = os.environ.get("PACELINE_NXD_SOURCE")
BOUND = 1e-5

pytestmark = pytest.mark.timeout(900)


def run(directory: Path, library: list[str], environment: dict[str, str]) -> list[dict[Any, Any]]:
    """What both ranks have seen in all cells, with `neuronx_distributed` from `library`."""
    path = {"PYTHONPATH": os.pathsep.join([*library, *sys.path])}
    command = [sys.executable, str(HERE / "ranks.py"), str(directory)]
    program = subprocess.Popen(command, env=os.environ | environment | path, start_new_session=True)
    try:
        assert program.wait(timeout=800) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
    return [torch.load(directory / f"{rank}.pt") for rank in range(2)]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    without = {name: value for name, value in os.environ.items() if name == "PACELINE_NXD_SOURCE"}
    with pytest.MonkeyPatch.context() as patch:
        for name in without:
            patch.delenv(name)
        return run(tmp_path_factory.mktemp("surface"), [str(SURFACE)], {})


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    if CHECKOUT is None:
        pytest.skip("PACELINE_NXD_SOURCE names no checkout of neuronx-distributed")
    source = Path(CHECKOUT).resolve() / "src"
    assert (source / "neuronx_distributed").is_dir(), f"{source} holds no neuronx_distributed"
    # torch-xla is still the surface's: the genuine one needs an XLA device
    return run(tmp_path_factory.mktemp("genuine"), [str(source), str(SURFACE)], {"PACELINE_NXD_SOURCE": str(source)})


@pytest.mark.integration
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_two_ranks_train_as_engine_torch_does(seen: list[dict[Any, Any]], cell: Cell) -> None:
    compare(seen, cell)


@pytest.mark.nxd_genuine
@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell.genuine], ids=str)
def test_the_genuine_source_trains_as_engine_torch_does(genuine: list[dict[Any, Any]], cell: Cell) -> None:
    compare(genuine, cell)


def compare(seen: list[dict[Any, Any]], cell: Cell) -> None:
    expected, ranks = seen[0][str(cell), "torch"], [rank[str(cell)] for rank in seen]
    for rank in ranks:
        assert rank["loss"] == pytest.approx(expected["loss"], rel=BOUND)
        assert rank["norm"] == pytest.approx(expected["norm"], rel=BOUND)
        assert rank["margin"] == pytest.approx(expected["margin"], rel=BOUND, abs=BOUND)
    if ranks[0]["held_out"] is not None:
        # every data rank gave one part; the first is what the one process was given
        first = len(expected["held_out"])
        assert ranks[0]["held_out"][:first] == pytest.approx(expected["held_out"], rel=BOUND)
        assert ranks[1]["held_out"] == ranks[0]["held_out"]
    assert {name for rank in ranks for name in rank["state"]} == expected["state"].keys()
    for name, (whole, shape, _) in expected["state"].items():
        filled = torch.full_like(whole, torch.nan)
        for rank in ranks:
            if name in rank["state"]:
                local, global_shape, offset = rank["state"][name]
                assert global_shape == shape
                filled[tuple(slice(o, o + n) for o, n in zip(offset, local.shape, strict=True))] = local
        # parameters by the size of an update: AdamW turns the rounding of a tiny gradient into a part of one
        scale = 1.0 if name.startswith("optimizer.step.") else whole.abs().max().item()
        assert (filled - whole).abs().max().item() <= 1e-3 * scale, name
