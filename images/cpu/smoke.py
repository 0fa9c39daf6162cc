"""The last step of the image's build: what is inside is what the matrix says, and it trains a step."""

from __future__ import annotations

import sys

from inside import require

require("cpu")

from paceline.engines.registry import create  # noqa: E402  what is wrong inside is told before anything is imported
from paceline.recipe.load import load  # noqa: E402

create("torch").rehearse(load("debug-tiny").recipe, vocabulary=300)
sys.stdout.write("a step of debug-tiny trained\n")
