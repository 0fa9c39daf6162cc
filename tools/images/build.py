"""Build images from their Dockerfiles with docker-bake.hcl, and measure them."""

from __future__ import annotations

import json
import subprocess
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.images.engine import Docker
from tools.images.lent import Lent

ROOT = Path(__file__).resolve().parent.parent.parent
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One image to build. `base` None is what the Dockerfile names; `context` holds the sources."""

    name: str
    base: str | None
    arguments: dict[str, str] = field(default_factory=dict)
    contexts: dict[str, Path] = field(default_factory=dict)
    context: Path = ROOT


def build(docker: Docker, order: Order, lent: Lent, scratch: Path) -> float:
    """Build `paceline/<name>:dev`; how many seconds it took. DockerError with the end of the log if it fails."""
    override = scratch / f"{order.name}.json"
    override.write_text(json.dumps({"target": {order.name: _target(docker, order, lent)}}), encoding="utf-8")
    command = ["buildx", "bake", "--file", "docker-bake.hcl", "--file", str(override), "--progress", "plain"]
    # bake asks before it lends what lies outside of the context, or the machine's network
    command += ["--allow", "network.host", "--allow", "fs=*", order.name]
    start = time.monotonic()
    docker(*command, folder=order.context)
    return time.monotonic() - start


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """In bytes: `unpacked` on a node's disk, `pulled` over the network (compressed, fast: a registry's is smaller)."""

    unpacked: int
    pulled: int


def size(docker: Docker, image: str) -> Size:
    """How large an image is, its base included."""
    unpacked = int(docker("image", "inspect", "--format", "{{.Size}}", image))
    saved = subprocess.Popen([docker.program, "save", image], env=docker.environment, stdout=subprocess.PIPE)
    assert saved.stdout
    compress, pulled = zlib.compressobj(level=1), 0
    while chunk := saved.stdout.read(_CHUNK):
        pulled += len(compress.compress(chunk))
    saved.wait()
    return Size(unpacked=unpacked, pulled=pulled + len(compress.flush()))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns, the first of them the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
