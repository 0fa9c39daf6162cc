"""A run that is interrupted and goes on, in the same or another layout, is the run that was not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from paceline.checkpoint.shard_file import parse
from paceline.checkpoint.snapshot import tensor_at
from paceline.data.corpus import Document
from paceline.data.index import TokenDataset
from paceline.data.prepare import prepare
from paceline.spec.manifest import TrainerState
from tests.integration.resume_ranks import JOURNEYS, LENGTH, SEQUENCES, STEPS, losses

pytestmark = pytest.mark.integration

RANKS = Path(__file__).with_name("resume_ranks.py")
SECONDS = 480
SENTENCE = "a paceline is a row of riders who share the wind one drops out the line closes up"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So few windows that an epoch ends within a step, between the legs of no journey."""
    directory = tmp_path_factory.mktemp("resume") / "dataset"
    words = SENTENCE.split()
    texts = [" ".join(words[n * k % len(words)] for k in range(1, 40)) for n in range(8)]
    documents = [Document(name=f"d{n}", text=text) for n, text in enumerate(texts)]
    prepare(documents, name="riders", source="a test", output=directory, vocabulary=300, shard_tokens=200, seed=0)
    return directory


@pytest.fixture(scope="module")
def journeys(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every journey left its journal and its checkpoints."""
    output = tmp_path_factory.mktemp("journeys")
    root = RANKS.parents[2]
    path = os.pathsep.join([str(root), str(root / "training"), *sys.path])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    command = [sys.executable, str(RANKS), str(data), str(output)]
    program = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        assert program.wait(timeout=SECONDS) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
    return output


def trainer(directory: Path) -> TrainerState:
    return TrainerState.model_validate_json((directory / f"{STEPS}.json").read_text(encoding="utf-8"))


def state(directory: Path) -> dict[str, torch.Tensor]:
    """Parameters and optimizer after the last step, put together from the files of all ranks."""
    tensors: dict[str, torch.Tensor] = {}
    for file in sorted(directory.glob(f"{STEPS}-*.bin")):
        content = memoryview(bytearray(file.read_bytes()))
        for shard, start in parse(content, file.name).shards:
            whole = tensors.setdefault(shard.name, torch.full(shard.global_shape, torch.nan))
            where = tuple(slice(o, o + n) for o, n in zip(shard.offset, shard.shape, strict=True))
            whole[where] = tensor_at(content, shard, start)
    assert [name for name, tensor in tensors.items() if tensor.isnan().any()] == []
    return tensors


def uninterrupted(journeys: Path, name: str) -> Path:
    """The journey in one leg to which another is compared."""
    if JOURNEYS[name][0] == "mixtral":
        return journeys / "whole, experts"
    kind = name.partition(", ")[2]
    return journeys / (f"whole, {kind}" if kind in ("TP", "Muon", "8-bit") else "whole")


def test_an_epoch_ends_within_a_step(data: Path) -> None:
    windows = TokenDataset.open(data, sequence_length=LENGTH, verify=False).num_windows
    assert windows < STEPS * SEQUENCES and windows % SEQUENCES


@pytest.mark.timeout(SECONDS + 30)
@pytest.mark.parametrize("name", [name for name in JOURNEYS if name.startswith("same ")])
def test_in_the_same_layout_every_bit_is_the_same(journeys: Path, name: str) -> None:
    whole = uninterrupted(journeys, name)
    assert losses(journeys / name) == losses(whole)
    assert trainer(journeys / name) == trainer(whole)
    some, other = state(journeys / name), state(whole)
    assert some.keys() == other.keys()
    assert [tensor for tensor in some if not torch.equal(some[tensor], other[tensor])] == []


@pytest.mark.timeout(SECONDS + 30)
@pytest.mark.parametrize("name", [name for name in JOURNEYS if " to " in name])
def test_in_another_layout_only_rounding_differs(journeys: Path, name: str) -> None:
    """Losses within 1e-5, parameters and optimizer within 1e-4 of their norm; data and ledger exactly. Muon's
    products are in bfloat16, so that rounding shows more: 1e-4 and 1e-2."""
    of_loss, of_norm = (1e-4, 1e-2) if name.endswith("Muon") else (1e-5, 1e-4)
    whole = uninterrupted(journeys, name)
    assert trainer(journeys / name) == trainer(whole)
    assert losses(journeys / name) == pytest.approx(losses(whole), rel=of_loss)
    some, other = state(journeys / name), state(whole)
    assert some.keys() == other.keys()
    far = {n: ((some[n] - other[n]).norm() / other[n].norm()).item() for n in other}
    assert {n: error for n, error in far.items() if error > of_norm} == {}


def test_a_journey_changes_the_model(journeys: Path) -> None:
    moved = losses(journeys / "whole")
    assert len(moved) == STEPS and moved[-1] < moved[0]
