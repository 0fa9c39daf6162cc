"""The last step of the image's build: what is inside is what the matrix says, and paceline starts.

On a machine with Neuron devices it also computes on one: the acceptance of the image.

    docker run --rm --device /dev/neuron0 --entrypoint python IMAGE /opt/paceline/share/smoke.py
"""

from __future__ import annotations

import sys
from pathlib import Path

from inside import require


def main() -> None:
    require("trainium-native")

    import torch

    from paceline.recipe.load import load

    load("debug-tiny")
    sys.stdout.write("paceline resolves debug-tiny\n")
    if not any(Path("/dev").glob("neuron*")):
        sys.stdout.write("no Neuron device here: nothing was computed on one\n")
        return
    total = torch.ones(16, 16, device="neuron").sum().item()
    assert total == 256, f"the sum of 256 ones is {total}"
    sys.stdout.write("a sum was computed on a Neuron device\n")


if __name__ == "__main__":
    main()
