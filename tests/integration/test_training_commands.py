"""The commands that a researcher types first, as they are written in the guides: train, trace, verify."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

PACELINE = [sys.executable, "-c", "from paceline.cli.main import main; main()"]
SECONDS = 480
STEPS = 50


def start(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [*PACELINE, *arguments, "-o", "json"]
    return subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.PIPE, text=True)


def answer(program: subprocess.Popen[str]) -> Any:
    """The last line of what a command says, once it has ended well."""
    output, _ = program.communicate(timeout=SECONDS)
    assert program.returncode == 0
    return json.loads(output if output.startswith("{\n") else output.splitlines()[-1])


@pytest.mark.timeout(SECONDS + 60)
def test_a_run_without_a_dataset_is_traced_and_verified(tmp_path: Path) -> None:
    run = start(tmp_path, "run", "debug-llama", "--local", "--nodes", "2", "--set", f"train.steps={STEPS}")
    directory = tmp_path / "runs" / "debug-llama"
    while not (directory / "run.json").is_file():  # until the run is rendered there is nobody to ask
        assert run.poll() is None
        time.sleep(0.2)
    trace = answer(start(tmp_path, "profile", str(directory), "--steps", "2", "--wait", str(SECONDS)))
    result = answer(run)
    assert (result["outcome"], result["step"]) == ("completed", STEPS)
    assert 0 < result["final_loss"] < 6.5  # it begins with ln 2048 = 7.6
    assert result["tokens_per_second"] > 0 and result["mfu"] is None  # the catalog knows no CPU's peak
    events = json.loads((tmp_path / trace["trace"]).read_text(encoding="utf-8"))["traceEvents"]
    assert any(event.get("name") == "aten::mm" for event in events)
    verified = answer(start(tmp_path, "data", "verify", str(directory)))
    assert (verified["steps"], verified["different_step"]) == (STEPS, None)
    assert verified["head"] == result["ledger"]
