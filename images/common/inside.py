"""Ask an image what it holds, and compare that with the matrix. Standard library only: it runs in every image."""

from __future__ import annotations

import importlib
import os
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

MATRIX = Path(__file__).parent / "versions.toml"
PRESENT = ""  # it is there, and does not say which it is

_DOTTED = re.compile(r"\d+(?:\.\d+)+")


def interpreter(_: str) -> str | None:
    return platform.python_version()


def python(name: str) -> str | None:
    """The version of an installed package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def attribute(path: str) -> str | None:
    """A value of a module, e.g. `torch.version.cuda`."""
    module, _, name = path.rpartition(".")
    try:
        value = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return None
    return str(value)


def variable(name: str) -> str | None:
    return os.environ.get(name)


def dpkg(name: str) -> str | None:
    return _said(["dpkg-query", "--show", "--showformat=${Version}", name])


def rpm(name: str) -> str | None:
    return _said(["rpm", "--query", "--queryformat=%{VERSION}", name])


def file(path: str) -> str | None:
    """The first version that a text file names."""
    try:
        return _first_version(Path(path).read_text(encoding="utf-8"))
    except OSError:
        return None


def library(name: str) -> str | None:
    """A shared library where the loader looks first (LD_LIBRARY_PATH); its version is the longest in its file names."""
    for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        if folder and (Path(folder) / name).exists():
            suffixes = [path.name.removeprefix(f"{name}.") for path in Path(folder).glob(f"{name}.*")]
            return max(suffixes, key=len, default=PRESENT)
    return None


def command(line: str) -> str | None:
    """The first version that a program prints."""
    said = _said(line.split())
    return None if said is None else _first_version(said)


PROBES: dict[str, Callable[[str], str | None]] = {
    probe.__name__: probe for probe in (interpreter, python, attribute, variable, dpkg, rpm, file, library, command)
}


def matches(wanted: str, found: str) -> bool:
    """Equal, or equal as far as `wanted` goes; a local part (`+cu130`) counts only where `wanted` has one."""
    found = found if "+" in wanted else found.partition("+")[0]
    return found == wanted or found.startswith(f"{wanted}.")


def differences(matrix: Path, image: str) -> list[str]:
    """A message for each row of the matrix that the image around us does not hold."""
    messages = []
    for name, row in tomllib.loads(matrix.read_text(encoding="utf-8"))["images"][image]["contents"].items():
        kind, _, argument = row["probe"].partition(":")
        found, wanted = PROBES[kind](argument), row.get("version")
        if found is None:
            messages.append(f"{name}: not found ({row['probe']})")
        elif wanted is not None and not matches(wanted, found):
            messages.append(f"{name}: {found or 'without a version'} is inside, {matrix.name} says {wanted}")
    return messages


def require(image: str, matrix: Path = MATRIX) -> None:
    """End the build if anything differs."""
    messages = differences(matrix, image)
    for message in messages:
        sys.stderr.write(f"error: {message}\n")
    if messages:
        sys.stderr.write(f"\nhint: change images.{image} of images/versions.toml, or what the image installs\n")
        sys.exit(1)
    sys.stdout.write(f"{image}: everything inside is what {matrix.name} says\n")


def _said(arguments: list[str]) -> str | None:
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _first_version(text: str) -> str:
    found = _DOTTED.search(text)
    return found[0] if found else PRESENT
