"""Versions of images live in images/versions.toml; everything else that names one agrees with it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CPU = ROOT / "images" / "cpu"
MATRIX = tomllib.loads((ROOT / "images" / "versions.toml").read_text(encoding="utf-8"))


def pins(path: Path) -> dict[str, set[str]]:
    """Package to the versions pinned in a requirements file; there are several where Pythons differ."""
    found: dict[str, set[str]] = {}
    for name, pinned in re.findall(r"(?m)^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", path.read_text(encoding="utf-8")):
        found.setdefault(name, set()).add(pinned)
    return found


def test_the_dockerfile_takes_the_versions_of_the_matrix() -> None:
    arguments = dict(re.findall(r"(?m)^ARG (\w+)=(\S+)", (CPU / "Dockerfile").read_text(encoding="utf-8")))
    assert arguments == {name.upper(): value for name, value in MATRIX["cpu"].items()}


def test_set_up_and_image_install_the_same_torch() -> None:
    setup = (ROOT / "tools" / "setup.py").read_text(encoding="utf-8")
    assert f'TORCH = "torch=={MATRIX["cpu"]["torch"]}"' in setup
    assert f'TORCH_CPU_INDEX = "{MATRIX["cpu"]["torch_index"]}"' in setup


def test_the_image_holds_what_was_tested() -> None:
    tested = pins(ROOT / "requirements-dev.txt")
    inside = pins(CPU / "requirements.txt")
    assert len(inside) > 20
    assert inside == {name: tested[name] for name in inside}


def test_the_smoke_test_passes_here_and_notices_another_version(tmp_path: Path) -> None:
    smoke = [sys.executable, str(CPU / "smoke.py")]
    passed = subprocess.run([*smoke, str(ROOT / "images" / "versions.toml")], capture_output=True, text=True)
    assert passed.returncode == 0, passed.stderr
    other = tmp_path / "versions.toml"
    other.write_text('[cpu]\ntorch = "2.12.0"\n', encoding="utf-8")
    refused = subprocess.run([*smoke, str(other)], capture_output=True, text=True)
    assert refused.returncode == 1
    assert "versions.toml says 2.12.0" in refused.stderr
