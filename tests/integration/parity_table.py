"""Run the cells of the parity table; `python -m tests.integration.parity_table docs/reference/parity.md` writes it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tests.integration.parity_cells import CELLS, LENGTH, PRESETS, SEQUENCES, SIZES, Cell

RANKS = Path(__file__).with_name("parity_ranks.py")
WORLD, SECONDS = 4, 540
BOUND = 1e-5
Errors = dict[tuple[str, str], float]
"""By cell and family: the largest relative error of the losses, the gradient norms and every gradient."""

_HEAD = f"""# Parity of layouts

Every layout trains the same model on the same batch as plain PyTorch does in one process, and what differs is
rounding. Generated; do not edit:

    python -m tests.integration.parity_table docs/reference/parity.md

`pytest -k parity` measures it anew and fails above {BOUND:.0e}. A number is the largest relative error, in float32 on
gloo, of the losses of two steps, of the same batch evaluated, of the first gradient norm, and of every gradient after
clipping (the norm of the difference over the norm), put together from the blocks of all ranks.

* The models have {SIZES["num_hidden_layers"]} layers, {SIZES["num_attention_heads"]} heads in \
{SIZES["num_key_value_heads"]} groups and {SIZES["vocab_size"]} tokens; the batch is {SEQUENCES} sequences of {LENGTH}.
* Mistral has a sliding window of {PRESETS["mistral"]["sliding_window"]}, Qwen3 tied embeddings.
* An empty cell was not measured: a dense model has no experts, and rare mixtures are measured on some families only.
"""


def measure(ranks: Path = RANKS, cells: Sequence[Cell] = CELLS) -> Errors:
    """One group of processes, started by `ranks`, goes through all cells; nothing of it is left afterwards."""
    with tempfile.TemporaryDirectory() as directory:
        root = RANKS.parents[2]
        path = os.pathsep.join([str(root), str(root / "training"), *sys.path])
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        program = subprocess.Popen([sys.executable, str(ranks), directory], env=environment, start_new_session=True)
        try:
            assert program.wait(timeout=SECONDS) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()
        seen = [torch.load(f"{directory}/{rank}.pt") for rank in range(WORLD)]
    return {
        (str(cell), family): _error(
            [seen[rank][str(cell), family] for rank in range(cell.ranks)], seen[0][family, cell.documents]
        )
        for cell in cells
        for family in cell.families
    }


def render(errors: Errors) -> str:
    """The page."""
    families = list(PRESETS)
    rows = ["| Layout | Ranks | " + " | ".join(families) + " |", "|---" * (len(families) + 2) + "|"]
    for cell in CELLS:
        values = [f"{errors[str(cell), f]:.0e}" if f in cell.families else "" for f in families]
        rows.append(f"| {cell.name} | {cell.ranks} | " + " | ".join(values) + " |")
    worst = max(errors, key=lambda key: errors[key])
    found = f"The largest of all is {errors[worst]:.0e} ({worst[0]}, {worst[1]})."
    return "\n".join([_HEAD, *rows, "", found, ""])


def _error(ranks: list[dict[str, Any]], plain: dict[str, Any]) -> float:
    # of the norms the first: what Adam divides by the smallest gradients makes much of their rounding
    pairs = [(rank["norm"][0], plain["norm"][0]) for rank in ranks]
    pairs += [(rank["evaluated"], plain["loss"][0]) for rank in ranks]
    pairs += [pair for rank in ranks for pair in zip(rank["loss"], plain["loss"], strict=True)]
    numbers = [abs(some - other) / abs(other) for some, other in pairs]
    for name, expected in plain["gradients"].items():
        blocks = [rank["gradients"][name] for rank in ranks if name in rank["gradients"]]
        difference = (_assembled(name, blocks, expected) - expected).norm() / expected.norm()
        numbers.append(difference.item())
    return max(numbers)


def _assembled(name: str, blocks: list[Any], expected: torch.Tensor) -> torch.Tensor:
    """The whole of which ranks hold blocks; those that hold the same one hold the same bits."""
    found = torch.full_like(expected, torch.nan)
    for local, shape, offset in blocks:
        assert shape == tuple(expected.shape), f"{name}: {shape}"
        where = tuple(slice(o, o + n) for o, n in zip(offset, local.shape, strict=True))
        assert (found[where].isnan() | (found[where] == local)).all(), f"{name}: copies differ"
        found[where] = local
    assert not found.isnan().any(), f"{name}: a part is nowhere"
    return found


def main(page: str) -> None:
    Path(page).write_text(render(measure()), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
