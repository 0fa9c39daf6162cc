"""The CPU surface and the calls of the engine against the recorded signatures of NeuronX Distributed and torch-xla."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.neuron.contract import entries, find

SURFACE = Path(__file__).parent / "surface"
ENGINE = Path(__file__).parents[2] / "training" / "paceline" / "engines" / "nxd"
PACKAGES = ("neuronx_distributed", "torch_xla")
# no functions
CONSTANTS = {"torch_xla.core.xla_model.REDUCE_SUM"}
# asked for only where there is a Neuron device
ON_DEVICE = {"torch_xla.core.xla_model.get_memory_info", "torch_xla.core.xla_model.xla_device_hw"}


@pytest.mark.parametrize("name", sorted(entries().keys() - ON_DEVICE))
def test_the_surface_has_the_recorded_signature(name: str) -> None:
    found = find(SURFACE, name)
    assert found is not None, f"{name} is not in the surface"
    assert found[1] == entries()[name]["parameters"]


@pytest.mark.nxd_genuine
@pytest.mark.parametrize("name", [name for name in entries() if name.startswith("neuronx_distributed")])
def test_the_genuine_source_has_the_recorded_signature(name: str) -> None:
    if "PACELINE_NXD_SOURCE" not in os.environ:
        pytest.skip("PACELINE_NXD_SOURCE names no checkout of neuronx-distributed")
    found = find(Path(os.environ["PACELINE_NXD_SOURCE"]) / "src", name)
    assert found is not None, f"{name} is not in the genuine source"
    assert found[1] == entries()[name]["parameters"]


@pytest.mark.parametrize("path", sorted(ENGINE.glob("*.py")), ids=lambda path: path.name)
def test_the_engine_calls_only_what_is_recorded(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = dict(_imports(tree))
    used = {name for node in ast.walk(tree) if (name := _name(node, imported))}
    for name in used:
        assert _entry(name) or name in CONSTANTS or _is_module(name), f"{name} is not recorded"
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = _name(call.func, imported)
        if name is not None and name not in CONSTANTS:
            parameters = entries()[_entry(name)]["parameters"]
            names = [parameter["name"] for parameter in parameters]
            assert len(call.args) <= len(names), f"{name}: {len(call.args)} arguments by position"
            if not any(name.startswith("**") for name in names):
                assert {keyword.arg for keyword in call.keywords if keyword.arg} <= set(names), name


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Local names of what comes from the packages."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.asname, alias.name) for alias in node.names if alias.asname and _is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _name(node: ast.AST, imported: dict[str, str]) -> str | None:
    """The full name of a use of the packages."""
    if isinstance(node, ast.Name):
        return imported.get(node.id)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported:
        return f"{imported[node.value.id]}.{node.attr}"
    return None


def _entry(name: str) -> str:
    """The entry for `name`, which a package may hand on under a shorter one; empty if there is none."""
    package, _, leaf = name.rpartition(".")
    fitting = [entry for entry in entries() if entry.startswith(f"{package}.") and entry.rpartition(".")[2] == leaf]
    return fitting[0] if len(fitting) == 1 else ""


def _is_module(name: str) -> bool:
    path = SURFACE.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def _is_ours(module: str) -> bool:
    return module.split(".")[0] in PACKAGES
