"""The last step of the image's build: what is inside is what the matrix says, and it trains a step.

python smoke.py VERSIONS_TOML
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import version
from pathlib import Path


def main(matrix: Path) -> int:
    expected = tomllib.loads(matrix.read_text(encoding="utf-8"))["cpu"]
    found = version("torch").partition("+")[0]  # +cpu says which build
    if found != expected["torch"]:
        sys.stderr.write(f"error: torch {found} is installed, {matrix.name} says {expected['torch']}\n")
        return 1

    from paceline.engines.registry import create
    from paceline.recipe.load import load

    create("torch").rehearse(load("debug-tiny").recipe, vocabulary=300)
    sys.stdout.write(f"torch {found}: a step of debug-tiny trained\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
