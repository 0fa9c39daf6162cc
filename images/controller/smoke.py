"""The last step of the image's build: what is inside is what the matrix says, and the controller watches and stops."""

from __future__ import annotations

import tempfile

from inside import require
from serves import free_port, serves

require("controller")
port = free_port()
with tempfile.TemporaryDirectory() as root:
    serves(["paceline", "controller", "--fleet", "local", "--root", root, "--metrics-port", str(port)], port)
