"""The guards that run as build steps: what the base holds is kept, and what is inside is what the matrix says."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
COMMON = ROOT / "images" / "common"

MATRIX = """
[images.gpu.contents]
torch = {{ version = "2.13.0", probe = "python:torch" }}
efa = {{ version = "1.49.0", probe = "file:{folder}/efa_installed_packages" }}
aws-ofi-nccl = {{ unknown = "nobody says", probe = "library:libnccl-net-ofi.so" }}
"""


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"images_{name}", COMMON / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


inside = script("inside")


def install(site: Path, name: str, version: str, *, index: str = "here") -> None:
    """What pip leaves of a package; another index built other files."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (info / "RECORD").write_text(f"{name}/__init__.py,sha256={index},10\n", encoding="utf-8")


def kept(verb: str, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", str(COMMON / "kept.py"), verb, str(site.parent / "base.json")]
    return subprocess.run(command, env={"PYTHONPATH": str(site)}, capture_output=True, text=True, check=False)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Site-packages of a base, recorded."""
    site = tmp_path / "site"
    install(site, "torch", "2.13.0+cu130")
    install(site, "neuronx-distributed", "0.19.28093")
    assert kept("record", site).returncode == 0
    return site


def test_what_is_added_beside_the_base_passes(base: Path) -> None:
    install(base, "xxhash", "4.1.0")

    done = kept("verify", base)
    assert (done.returncode, done.stderr) == (0, "")


def test_another_torch_is_refused(base: Path) -> None:
    shutil.rmtree(base / "torch-2.13.0+cu130.dist-info")
    install(base, "torch", "2.15.0")

    done = kept("verify", base)
    assert done.returncode == 1
    assert "error: torch: the base has 2.13.0+cu130" in done.stderr
    assert "2.15.0" in done.stderr


def test_the_same_torch_from_another_index_is_refused(base: Path) -> None:
    shutil.rmtree(base / "torch-2.13.0+cu130.dist-info")
    install(base, "torch", "2.13.0+cu130", index="elsewhere")

    assert "error: torch: the base has 2.13.0+cu130" in kept("verify", base).stderr


def test_what_was_removed_is_told(base: Path) -> None:
    shutil.rmtree(base / "neuronx_distributed-0.19.28093.dist-info")

    assert "neuronx-distributed: the base has 0.19.28093" in kept("verify", base).stderr


@pytest.mark.parametrize("name", ["neuronx-cc", "nki", "libneuronxla", "torch-neuronx", "Neuron_Agentic.Development"])
def test_a_package_of_neurons_that_was_added_is_refused(base: Path, name: str) -> None:
    install(base, name, "1.0")

    done = kept("verify", base)
    assert done.returncode == 1
    assert "was added; Neuron's packages come with the base" in done.stderr


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like an image which is as the matrix says; its site-packages hold torch."""
    install(tmp_path / "site", "torch", "2.13.0+cu130")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    (tmp_path / "efa_installed_packages").write_text("# EFA installer version: 1.49.0\n", encoding="utf-8")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libnccl-net-ofi.so").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere::{tmp_path / 'lib'}")
    (tmp_path / "versions.toml").write_text(MATRIX.format(folder=tmp_path), encoding="utf-8")
    return tmp_path


def test_an_image_that_holds_what_the_matrix_says_passes(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inside.require("gpu", image / "versions.toml")

    assert "gpu: everything inside is what versions.toml says" in capsys.readouterr().out


def test_a_missing_plugin_of_nccl_ends_the_build(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (image / "lib" / "libnccl-net-ofi.so").unlink()

    with pytest.raises(SystemExit) as end:
        inside.require("gpu", image / "versions.toml")
    assert end.value.code == 1
    assert "error: aws-ofi-nccl: not found (library:libnccl-net-ofi.so)" in capsys.readouterr().err


def test_another_version_is_told(image: Path) -> None:
    (image / "efa_installed_packages").write_text("# EFA installer version: 1.48.0\n", encoding="utf-8")

    assert inside.differences(image / "versions.toml", "gpu") == ["efa: 1.48.0 is inside, versions.toml says 1.49.0"]


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        ("2.13.0", "2.13.0+cu130", True),
        ("2.9", "2.9.1", True),
        ("2.9", "2.90", False),
        ("0.19.28093+fc70b593", "0.19.28093+fc70b593", True),
        ("0.19.28093+fc70b593", "0.19.28093", False),
        ("2.32.31.0-0234f5ed2", "2.32.31.0-0234f5ed2", True),
    ],
)
def test_a_version_matches_as_far_as_it_goes(wanted: str, found: str, same: bool) -> None:
    assert inside.matches(wanted, found) is same


def test_programs_and_package_managers_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, says in {
        "dpkg-query": "printf '%s' \"$3\" | grep -q tools && printf 2.30.10.0-39feaa591",
        "rpm": "[ $3 = dcgm ] && printf 4.6.0",
        "helm": "echo v4.1.4+g05fa379",
        "broken": "exit 1",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{says}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    assert inside.dpkg("aws-neuronx-tools") == "2.30.10.0-39feaa591"
    assert inside.dpkg("unknown") is None
    assert inside.rpm("dcgm") == "4.6.0"
    assert inside.command("helm version --short") == "4.1.4"
    assert inside.command("broken") is None
    assert inside.command("no-such-program") is None


def test_a_library_tells_its_version_by_its_longest_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("libgdrapi.so", "libgdrapi.so.2", "libgdrapi.so.2.6"):
        (tmp_path / name).touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))

    assert inside.library("libgdrapi.so") == "2.6"
    assert inside.library("libnccl.so") is None


def test_values_of_modules_and_of_the_environment_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VERSION", "13.3.0")

    assert inside.variable("CUDA_VERSION") == "13.3.0"
    assert inside.attribute("sys.byteorder") == sys.byteorder
    assert inside.attribute("no_such_module.version") is None
    assert inside.python("no-such-package") is None


def test_the_smoke_test_of_the_cpu_image_passes_here_and_notices_another_version(tmp_path: Path) -> None:
    for path in (ROOT / "images/versions.toml", COMMON / "inside.py", ROOT / "images/cpu/smoke.py"):
        shutil.copy(path, tmp_path)
    smoke = [sys.executable, str(tmp_path / "smoke.py")]
    passed = subprocess.run(smoke, capture_output=True, text=True, check=False)
    assert "a step of debug-tiny trained" in passed.stdout, passed.stderr

    matrix = tmp_path / "versions.toml"
    matrix.write_text(matrix.read_text(encoding="utf-8").replace('"2.13.0"', '"2.12.0"'), encoding="utf-8")
    refused = subprocess.run(smoke, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "versions.toml says 2.12.0" in refused.stderr
