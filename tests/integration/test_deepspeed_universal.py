"""DeepSpeed's own tool makes a universal checkpoint, we read and write it, DeepSpeed loads that: the bits are the same.

Where DeepSpeed is not installed there is nothing to test; `make setup` installs it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tests.integration.universal_ranks import CELLS, whole

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(find_spec("deepspeed") is None, reason="deepspeed is not installed: make setup"),
]

SECONDS = 600


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("universal")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.integration.universal_ranks", str(output)]
    subprocess.run(command, env=environment, check=True, timeout=SECONDS)
    return output


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("number", range(len(CELLS)), ids=[str(cell) for cell in CELLS])
def test_a_universal_checkpoint_is_read_and_written_to_the_bit(saved: Path, number: int) -> None:
    folder = saved / str(number)
    tensors = torch.load(folder / "read.pt")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    trained = whole([folder / f"{rank}.bin" for rank in range(2)], shapes)
    loaded = whole([folder / f"loaded-{rank}.bin" for rank in range(2)], shapes)

    assert [name for name in shapes if not torch.equal(tensors[name], trained[name])] == []
    assert [name for name in shapes if not torch.equal(loaded[name], trained[name])] == []
