"""The last step of the image's build: what is inside is what the matrix says, and the agent watches and stops."""

from __future__ import annotations

from inside import require
from serves import free_port, serves

require("node-agent")
port = free_port()
serves(["paceline", "agent", "--listen", f"127.0.0.1:{port}"], port)
