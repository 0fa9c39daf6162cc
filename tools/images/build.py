"""Build images from their Dockerfiles with docker-bake.hcl, and measure them."""

from __future__ import annotations

import json
import re
import subprocess
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.images.engine import Docker, DockerError
from tools.images.lent import Lent

ROOT = Path(__file__).resolve().parent.parent.parent
_CHUNK = 1 << 20
_STEP = re.compile(r"^#(\d+) \[[^]]*\d+/\d+\] (.*)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One image to build. `base` None is what the Dockerfile names; `context` holds the sources."""

    name: str
    base: str | None
    arguments: dict[str, str] = field(default_factory=dict)
    contexts: dict[str, Path] = field(default_factory=dict)
    context: Path = ROOT


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """`steps` are the instructions that were carried out; the others were found in the cache."""

    seconds: float
    steps: tuple[str, ...]


def build(docker: Docker, order: Order, lent: Lent, scratch: Path) -> Built:
    """Build `paceline/<name>:dev`. DockerError with the end of the log if it fails."""
    override = scratch / f"{order.name}.json"
    override.write_text(json.dumps({"target": {order.name: _target(docker, order, lent)}}), encoding="utf-8")
    command = ["buildx", "bake", "--file", "docker-bake.hcl", "--file", str(override), "--progress", "plain"]
    # bake asks before it lends what lies outside of the context, or the machine's network
    command += ["--allow", "network.host", "--allow", "fs=*", order.name]
    start = time.monotonic()
    log = docker.attempt(*command, folder=order.context)
    if log.returncode:
        raise DockerError("\n".join(log.stderr.splitlines()[-40:]))
    return Built(seconds=time.monotonic() - start, steps=carried_out(log.stderr))


def carried_out(log: str) -> tuple[str, ...]:
    """`#7 [stage 2/5] RUN ...` names a step; `#7 CACHED` says that nothing was done."""
    steps = dict(_STEP.findall(log))
    return tuple(text for number, text in steps.items() if f"\n#{number} CACHED" not in log)


def _target(docker: Docker, order: Order, lent: Lent) -> dict[str, object]:
    arguments = dict(order.arguments)
    if order.name == "cpu":
        arguments["TORCH_INDEX"] = lent.torch_index
    if order.base is not None:
        arguments["BASE"] = order.base
    target: dict[str, object] = {
        "args": arguments,
        "contexts": {name: str(path) for name, path in {**lent.contexts, **order.contexts}.items()},
        "secret": [f"id={name},src={path}" for name, path in lent.secrets.items()],
    }
    return {**target, "network": "host"} if docker.own else target


def tag(name: str) -> str:
    """What a built image is called here."""
    return f"paceline/{name}:dev"


def unpacked(docker: Docker, image: str) -> int:
    """Bytes that an image takes on a node's disk, its base included."""
    return int(docker("image", "inspect", "--format", "{{.Size}}", image))


def pulled(docker: Docker, image: str) -> int:
    """Bytes that a node pulls, compressed as fast as can be: what a registry holds is somewhat smaller."""
    saved = subprocess.Popen([docker.program, "save", image], env=docker.environment, stdout=subprocess.PIPE)
    assert saved.stdout
    compress, total = zlib.compressobj(level=1), 0
    while chunk := saved.stdout.read(_CHUNK):
        total += len(compress.compress(chunk))
    if saved.wait():
        raise DockerError(f"docker save {image} ended with {saved.returncode}")
    return total + len(compress.flush())


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns, the first of them the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
