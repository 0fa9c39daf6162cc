"""The last step of the image's build: what is inside is what the matrix says, and the tools are there.

On a machine with Neuron devices it also lets two cores talk: the acceptance of the image.

    docker run --rm --device /dev/neuron0 --entrypoint python IMAGE /opt/paceline/share/smoke.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from inside import require

# deep checks of nodes, compiling ahead, looking at devices
TOOLS = ("nccom-test", "neuron_parallel_compile", "neuron-ls")


def main() -> None:
    require("trainium")
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        sys.exit(f"error: not on the PATH: {', '.join(missing)}\n\nhint: neuron-tools and torch-neuronx bring them")

    from paceline.recipe.load import load

    load("debug-tiny")
    sys.stdout.write("paceline resolves debug-tiny\n")
    if not any(Path("/dev").glob("neuron*")):
        sys.stdout.write("no Neuron device here: collectives were not tried\n")
        return
    subprocess.run(["nccom-test", "allr", "-r", "2", "--check"], check=True)


if __name__ == "__main__":
    main()
