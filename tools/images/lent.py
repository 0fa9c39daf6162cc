"""What a machine's own package settings lend to a build: none of it stays in an image.

The Dockerfiles take a pip.conf and a CA bundle as secrets and a folder of wheels as a context, and skip what is not
given.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.setup import torch_index

# where the Dockerfiles mount what is lent
_CA, _WHEELS = "/run/secrets/ca", "/opt/wheels"
_PYPI = "https://pypi.org/simple"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lent:
    """`secrets` by id, `contexts` by name; `torch_index` is where this machine gets PyTorch from."""

    secrets: dict[str, Path]
    contexts: dict[str, Path]
    torch_index: str


def lent(folder: Path) -> Lent:
    """The settings of this machine, for as long as `folder` is there."""
    settings = parse(subprocess.check_output([sys.executable, "-m", "pip", "config", "list"], text=True))
    wheels = next((Path(place) for place in settings.get("find-links", []) if Path(place).is_dir()), None)
    ca = next(filter(None, [*settings.get("cert", []), os.environ.get("SSL_CERT_FILE")]), None)
    pip_conf = folder / "pip.conf"
    pip_conf.write_text(render(settings, ca=ca is not None, wheels=wheels is not None), encoding="utf-8")
    return Lent(
        secrets={"pip_conf": pip_conf, **({"ca": Path(ca)} if ca else {})},
        contexts={"wheels": wheels} if wheels else {},
        torch_index=torch_index() or settings.get("index-url", [_PYPI])[0],
    )


def parse(listing: str) -> dict[str, list[str]]:
    """The words of each setting of `pip config list`; a variable of the environment goes before a file."""
    settings: dict[str, list[str]] = {}
    for line in sorted(listing.splitlines(), key=lambda line: line.startswith(":env:")):
        name, equals, value = line.partition("=")
        if equals:
            settings[name.rpartition(".")[2]] = str(ast.literal_eval(value)).split()
    return settings


def render(settings: dict[str, list[str]], *, ca: bool, wheels: bool) -> str:
    """A pip.conf for a build: indexes that a container reaches too, and the mounts in the place of local paths."""
    lines = ["[global]", "disable-pip-version-check = true"]
    for name in ("index-url", "extra-index-url", "trusted-host", "default-timeout"):
        if words := [word for word in settings.get(name, []) if not word.startswith("file:")]:
            lines.append(f"{name} = {' '.join(words)}")
    lines += [f"cert = {_CA}"] if ca else []
    lines += [f"find-links = {_WHEELS}"] if wheels else []
    return "\n".join(lines) + "\n"
