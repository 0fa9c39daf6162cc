"""Environments of their own for peers whose libraries must not come near ours: made once, kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tomllib
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.common.command import Say
from benchmarks.common.jobs import ROOT
from paceline.spec.errors import LaunchError

_FILE = ROOT / "benchmarks" / "peers" / "environments.toml"
_DONE = "complete"


def packages(peer: str) -> tuple[str, ...]:
    """What `peer` of environments.toml is installed with."""
    return tuple(tomllib.loads(_FILE.read_text(encoding="utf-8"))[peer]["packages"])


def python(peer: str, say: Say) -> Path:
    """The interpreter of `peer`'s environment; the first call makes it, which takes minutes and up to 3 GB."""
    wanted = packages(peer)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(" ".join((*wanted, sys.version)).encode()).hexdigest()[:12]
    directory = cache / "paceline" / "benchmarks" / f"{peer}-{key}"
    interpreter = directory / "bin" / "python"
    if (directory / _DONE).exists():
        return interpreter
    say(f"install {peer} into {directory}")
    venv.create(directory, with_pip=True, clear=True)
    command = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["without a word"]
        raise LaunchError(f"{peer} cannot be installed: {last[0]}", "check the network and the room in the cache")
    (directory / _DONE).touch()
    return interpreter


def settings() -> Mapping[str, str]:
    """What a peer that imports from this repository finds in its environment; one thread, nothing downloaded."""
    rooms = os.pathsep.join([str(ROOT), str(ROOT / "training")])
    return {"PYTHONPATH": rooms, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "GLOO_SOCKET_IFNAME": "lo"}


def run(interpreter: Path, module: str, arguments: Sequence[str], *, seconds: float) -> str:
    """What the peer `module` of this repository prints; LaunchError with its last words if it fails or is too slow."""
    command = [str(interpreter), "-m", module, *arguments]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **settings()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as cause:
        raise LaunchError(f"{module}: not done after {seconds:.0f} s", "run it on a machine with less load") from cause
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["without a word"]
        raise LaunchError(f"{module}: {last[0]}", f"run it by itself: {' '.join(command)}")
    return done.stdout
