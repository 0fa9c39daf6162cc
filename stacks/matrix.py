"""What the images of this checkout need of the machines under them (images/versions.toml)."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

_MATRIX = Path(__file__).parent.parent / "images" / "versions.toml"


@cache
def driver_floor(family: Literal["nvidia", "neuron"]) -> str | None:
    """The oldest driver under which all images for that family run, or None when nobody knows. The rules of the matrix
    are `paceline images matrix`'s; here it is only read."""
    images = tomllib.loads(_MATRIX.read_text(encoding="utf-8"))["images"].values()
    needed = (image.get("host", {}).get(f"{family}-driver", {}).get("version") for image in images)
    return max(filter(None, needed), key=lambda version: [int(part) for part in version.split(".")], default=None)
