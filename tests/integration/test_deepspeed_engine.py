"""DeepSpeed learns what PyTorch learns, whatever it partitions; a run changes engines on the way, and heals.

Where DeepSpeed is not installed there is nothing to test; `make setup` installs it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from paceline.journal.reader import read
from paceline.spec.events import GenerationOpened, StepFinished
from tests.integration.deepspeed_cells import CELLS, JOURNEY, Cell

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(find_spec("deepspeed") is None, reason="deepspeed is not installed: make setup"),
]

SECONDS = 600
TOLERANCE = 1e-5
OTHERS = [cell for cell in CELLS if cell.engine == "deepspeed"]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the two ranks saw, of all cells."""
    output = tmp_path_factory.mktemp("deepspeed")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.integration.deepspeed_ranks", str(output)]
    subprocess.run(command, env=environment, check=True, timeout=SECONDS)
    return [json.loads((output / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(2)]


def reference(seen: list[dict[str, Any]], cell: Cell) -> dict[str, Any]:
    [found] = [seen[0][str(one)] for one in CELLS if one.engine == "torch" and one.subject == cell.subject]
    assert isinstance(found, dict)
    return found


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("cell", OTHERS, ids=str)
def test_every_partition_learns_what_one_rank_learns(seen: list[dict[str, Any]], cell: Cell) -> None:
    expected = reference(seen, cell)
    for rank in range(cell.ranks):
        found = seen[rank][str(cell)]
        assert found["totals"] == [sum(range(cell.ranks + 1))]
        assert found["loss"] == pytest.approx(expected["loss"][: cell.steps], rel=TOLERANCE)
        assert found["norm"] == pytest.approx(expected["norm"][: cell.steps], rel=TOLERANCE)
        for step, metrics in enumerate(found["metrics"]):
            assert metrics == pytest.approx(expected["metrics"][step], rel=1e-4, abs=1e-6)


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("cell", [c for c in OTHERS if c.method == "pretrain" and c.compute == {}], ids=str)
def test_held_out_loss_is_what_one_rank_finds(seen: list[dict[str, Any]], cell: Cell) -> None:
    assert seen[0][str(cell)]["evaluated"] == pytest.approx(reference(seen, cell)["evaluated"], rel=TOLERANCE)


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("cell", [c for c in OTHERS if c.method == "pretrain" and "cp" not in c.parallelism], ids=str)
def test_a_rank_that_takes_anothers_passes_finds_the_same(seen: list[dict[str, Any]], cell: Cell) -> None:
    testimonies = seen[0][str(cell)]["testimonies"]

    assert not any(altered for altered, *_ in testimonies)
    for rank, (_, passes, _) in enumerate(testimonies):
        partner = testimonies[rank - 1][2]  # the one before has taken these again
        assert passes != 0 and partner == passes


@pytest.mark.timeout(SECONDS + 60)
def test_a_run_that_changes_engines_goes_on_as_if_it_had_not(seen: list[dict[str, Any]]) -> None:
    steps = sum(cell.steps for cell in JOURNEY)

    assert seen[0]["journey"] == pytest.approx(reference(seen, JOURNEY[0])["loss"][:steps], rel=TOLERANCE)


@pytest.mark.timeout(SECONDS + 60)
def test_a_run_on_two_nodes_heals_from_a_kill(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    settings = ["--set", "engine=deepspeed", "--set", "schedule.steps=12", "--set", "schedule.warmup_steps=2"]
    command = [sys.executable, "-c", "from paceline.cli.main import main; main()", "run", "debug-llama", "--local"]
    run = subprocess.Popen([*command, "--nodes", "2", *settings], cwd=tmp_path, env=environment)
    journal = tmp_path / "runs" / "debug-llama" / "journal"
    deadline = time.monotonic() + SECONDS
    while max(steps(journal), default=0) < 2:  # then memory holds the first, twice
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.5)
    os.kill(oldest_worker(tmp_path), signal.SIGKILL)

    assert run.wait(timeout=SECONDS) == 0
    assert max(steps(journal)) == 12
    opened = [event for event in read(journal).events if isinstance(event, GenerationOpened)]
    assert [event.restore_from for event in opened] == ["nothing", "memory"]


def steps(journal: Path) -> list[int]:
    if not journal.is_dir():
        return []
    return [event.step for event in read(journal).events if isinstance(event, StepFinished)]


def oldest_worker(directory: Path) -> int:
    """The process of the first worker of the run in `directory`: the others are standbys, or its peer."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                is_worker = b"paceline.train.worker" in (process / "cmdline").read_bytes()
                if is_worker and (process / "cwd").resolve() == directory:
                    found.append(int(process.name))
    return min(found)
