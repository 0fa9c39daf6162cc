"""`make images`: build what this machine can build, say what it skips and why.

    python -m tools.images [NAME...]

A line per image goes to stdout; the exit code is 1 when a build failed. An engine that answers is used; without one,
root on a Debian machine starts one of its own (tools/images/engine.py). A base comes from its registry, or, for the
images that need only Python, from Debian's packages.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from paceline.images.matrix import MATRIX, Matrix, read
from tools.images.base import make
from tools.images.build import ROOT, Order, build, table, tag, unpacked
from tools.images.debian import UnavailableError
from tools.images.engine import Docker, DockerError, engine
from tools.images.lent import Lent, lent

STATE = ROOT / ".engine"
HEADING = ("image", "seconds", "MB", "result")


def main(arguments: Sequence[str]) -> int:
    matrix = read(ROOT / MATRIX).matrix
    parser = argparse.ArgumentParser(prog="python -m tools.images", description="Build images.")
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"one of {', '.join(matrix.images)}; all if none")
    names = parser.parse_args(arguments).names or list(matrix.images)
    if unknown := [name for name in names if name not in matrix.images]:
        parser.error(f"no image {', '.join(unknown)}")
    rows: list[tuple[str, ...]] = [HEADING]
    failures: list[str] = []
    try:
        with engine(STATE) as docker, tempfile.TemporaryDirectory() as scratch:
            settings = lent(Path(scratch))
            for name in names:
                print(f"images: {name}", file=sys.stderr, flush=True)
                try:
                    rows.append(_row(docker, matrix, name, settings, Path(scratch)))
                except UnavailableError as reason:
                    rows.append((name, "", "", f"skipped: {reason}"))
                except DockerError as error:
                    rows.append((name, "", "", "failed"))
                    failures.append(f"error: {name}: {error}")
    except UnavailableError as reason:
        print(f"error: no image can be built here: {reason}\n\nhint: start Docker", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was built stays", file=sys.stderr)
        return 130
    print(table(rows))
    print("\n\n".join(failures), file=sys.stderr, end="\n" if failures else "")
    return 1 if failures else 0


def _row(docker: Docker, matrix: Matrix, name: str, settings: Lent, scratch: Path) -> tuple[str, ...]:
    base = _base(docker, matrix.base_of(name).reference, matrix.images[name].base)
    built = build(docker, Order(name=name, base=base), settings, scratch)
    return name, f"{built.seconds:.0f}", f"{unpacked(docker, tag(name)) / 1e6:.0f}", tag(name)


def _base(docker: Docker, reference: str, key: str) -> str | None:
    """None: what the Dockerfile names can be had. UnavailableError where neither it nor a stand-in can be."""
    if docker.attempt("image", "inspect", reference).returncode == 0:
        return None
    asked = docker.attempt("buildx", "imagetools", "inspect", reference)
    if asked.returncode == 0:
        return None
    if key == "python":
        return make(docker, STATE)
    raise UnavailableError(f"{reference} cannot be had: {asked.stderr.strip().splitlines()[-1]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
