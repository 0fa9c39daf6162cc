"""Start what an image is for, ask it for its metrics, and end it as a cluster does. Standard library only."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from http.client import HTTPException
from urllib.request import urlopen

_PATIENCE_SECONDS = 60.0


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def serves(command: list[str], port: int) -> None:
    """End the build if `command` serves no metrics of paceline on `port`, or does not end with 0 at SIGTERM."""
    process = subprocess.Popen(command)
    try:
        text = _metrics(process, port)
        process.terminate()
        code = process.wait(_PATIENCE_SECONDS)
    finally:
        process.kill()
    if not any(line.startswith("paceline_") for line in text.splitlines()):
        sys.exit(f"error: {' '.join(command)}: served no metric of paceline")
    if code:
        sys.exit(f"error: {' '.join(command)}: ended with {code} when it was told to stop")
    sys.stdout.write(f"{' '.join(command[:2])} serves metrics, and stops when it is told to\n")


def _metrics(process: subprocess.Popen[bytes], port: int) -> str:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                if text := answer.read().decode():
                    return str(text)
        except (OSError, HTTPException):
            pass  # not listening yet
        time.sleep(0.1)
    return ""
