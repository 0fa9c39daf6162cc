"""An environment of its own for peers whose libraries must not come near ours: made once, kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.command import Say
from benchmarks.common.jobs import ROOT
from paceline.spec.errors import LaunchError

TORCH = "torch==2.13.0"
PACKAGES = (
    TORCH,
    "transformers==5.23.0",
    "accelerate==1.15.0",
    "datasets==4.7.0",
    "torchtitan==0.3.0",
    "triton",  # torchtitan's models import it
    "xxhash>=3.5,<5",  # what paceline's modules import, for peers that read its datasets
    "pydantic>=2.10,<3",
    "pyyaml>=6,<7",
)
_DONE = "complete"


def python(say: Say) -> Path:
    """The interpreter of an environment with PACKAGES; the first call makes it, which takes minutes and 3 GB."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(" ".join((*PACKAGES, sys.version)).encode()).hexdigest()[:12]
    directory = cache / "paceline" / f"benchmark-peers-{key}"
    interpreter = directory / "bin" / "python"
    if (directory / _DONE).exists():
        return interpreter
    say(f"install the peers into {directory}")
    venv.create(directory, with_pip=True, clear=True)
    command = [str(interpreter), "-m", "pip", "install", "--quiet", *PACKAGES]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["without a word"]
        raise LaunchError(f"the peers cannot be installed: {last[0]}", "check the network and the room in the cache")
    (directory / _DONE).touch()
    return interpreter


def run(interpreter: Path, module: str, arguments: Sequence[str], *, seconds: float) -> str:
    """What the peer `module` of this repository prints; LaunchError with its last words if it fails or is too slow."""
    rooms = os.pathsep.join([str(ROOT), str(ROOT / "training")])
    environment = os.environ | {"PYTHONPATH": rooms, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [str(interpreter), "-m", module, *arguments]
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as cause:
        raise LaunchError(f"{module}: not done after {seconds:.0f} s", "run it on a machine with less load") from cause
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["without a word"]
        raise LaunchError(f"{module}: {last[0]}", f"run it by itself: {' '.join(command)}")
    return done.stdout
