"""Two gloo ranks against one: the same training, and the same bits when it is done again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.integration

RANKS = Path(__file__).with_name("engine_parity_ranks.py")
WORLDS = {"one": 1, "two": 2, "two again": 2}
UNEVEN, ONE_ROW = 301, 1  # one row: the second rank's part of the embedding is empty
VOCABULARIES = (UNEVEN, ONE_ROW)
Run = list[dict[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """What every rank of every world saw, by vocabulary."""
    return run_worlds(tmp_path_factory.mktemp("parity"), WORLDS, VOCABULARIES, "llama")


def run_worlds(directory: Path, worlds: dict[str, int], vocabularies: tuple[int, ...], family: str) -> dict[str, Run]:
    order = {"directory": str(directory), "worlds": worlds, "vocabularies": vocabularies, "family": family}
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    program = subprocess.Popen([sys.executable, str(RANKS), json.dumps(order)], env=environment, start_new_session=True)
    try:
        assert program.wait(timeout=100) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
    return {
        name: [torch.load(directory / f"{name}-{rank}.pt") for rank in range(world_size)]
        for name, world_size in worlds.items()
    }


def whole(world: Run, vocabulary: int, moment: str) -> dict[str, torch.Tensor]:
    """Logical tensors put together from all ranks' shards, which must tile them without gap or overlap."""
    tensors = {}
    for name, (_, shape, _) in world[0][vocabulary][moment].items():
        parts = [rank[vocabulary][moment][name] for rank in world]
        assert {part[1] for part in parts} == {shape}
        if not shape:
            assert len({part[0].item() for part in parts}) == 1
            tensors[name] = parts[0][0]
            continue
        filled = torch.full(shape, torch.nan)
        for local, _, offset in parts:
            where = tuple(slice(o, o + n) for o, n in zip(offset, local.shape, strict=True))
            assert filled[where].isnan().all()
            filled[where] = local
        assert not filled.isnan().any()
        tensors[name] = filled
    return tensors


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_initial_state_does_not_depend_on_the_world(runs: dict[str, Run], vocabulary: int) -> None:
    one, two = (whole(runs[world], vocabulary, "initial") for world in ("one", "two"))
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


def test_shards_are_uneven_and_empty_where_expected(runs: dict[str, Run]) -> None:
    rows = [[rank[v]["final"]["lm_head.weight"][0].shape[0] for rank in runs["two"]] for v in VOCABULARIES]
    assert rows == [[151, 150], [1, 0]]


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_two_ranks_train_as_one_does(runs: dict[str, Run], vocabulary: int) -> None:
    one, two = (runs[world][0][vocabulary] for world in ("one", "two"))
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert two["norm"] == pytest.approx(one["norm"], rel=1e-4)
    expected = whole(runs["one"], vocabulary, "final")
    for name, tensor in whole(runs["two"], vocabulary, "final").items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_training_moved_every_matrix(runs: dict[str, Run]) -> None:
    before, after = (whole(runs["two"], UNEVEN, moment) for moment in ("initial", "final"))
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    assert runs["two"][0][UNEVEN]["norm"][0] > 0.5  # clipping was exercised


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_done_again_it_gives_the_same_bits(runs: dict[str, Run], vocabulary: int) -> None:
    for rank, moment in product(range(2), ("initial", "final")):
        some, other = (runs[name][rank][vocabulary] for name in ("two", "two again"))
        assert (some["loss"], some["norm"]) == (other["loss"], other["norm"])
        differing = [name for name in some[moment] if not torch.equal(some[moment][name][0], other[moment][name][0])]
        assert differing == []


def test_all_ranks_report_the_same_loss_and_totals_modulo_two_to_the_64(runs: dict[str, Run]) -> None:
    first, second = (rank[UNEVEN] for rank in runs["two"])
    assert (first["loss"], first["totals"]) == (second["loss"], second["totals"])
    assert first["totals"] == [[-2, 1]] * len(first["loss"])


def test_no_rank_updates_before_every_rank_is_ready(runs: dict[str, Run]) -> None:
    ready = [max(times) for times in zip(*(rank[UNEVEN]["ready"] for rank in runs["two"]), strict=True)]
    done = [min(times) for times in zip(*(rank[UNEVEN]["done"] for rank in runs["two"]), strict=True)]
    assert all(r < d for r, d in zip(ready, done, strict=True))


def test_experts_spread_over_two_ranks_train_as_on_one(tmp_path: Path) -> None:
    runs = run_worlds(tmp_path, {"one": 1, "two": 2}, (UNEVEN,), "qwen3_moe")
    one, two = (runs[world][0][UNEVEN] for world in ("one", "two"))
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    expected, actual = (whole(runs[world], UNEVEN, "final") for world in ("one", "two"))
    assert "model.layers.0.mlp.experts.7.up_proj.weight" in actual
    for name, tensor in actual.items():
        # an update divides by the size of the gradient, so where there is next to none its rounding is seen
        bound = 1e-6 if name.startswith("optimizer.") else 1e-4
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=bound, msg=lambda m, n=name: f"{n}: {m}")
    held = [rank[UNEVEN]["final"]["model.layers.0.mlp.experts.7.up_proj.weight"][0].numel() for rank in runs["two"]]
    assert held == [0, 176 * 256]
