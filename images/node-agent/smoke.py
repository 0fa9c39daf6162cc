"""The last step of the image's build: what is inside is what the matrix says, and paceline starts."""

from __future__ import annotations

import subprocess

from inside import require

require("node-agent")
subprocess.run(["paceline", "--version"], check=True)
