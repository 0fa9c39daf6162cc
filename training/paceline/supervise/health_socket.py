"""What the health agent of a node says to its supervisors: a Unix socket in the node's directory."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from paceline.spec.health import Finding, Verdict


async def hear_health(path: Path, heard: Callable[[Finding | None], None]) -> None:
    """Listen at `path` for as long as this is awaited. An agent that is gone has not taken back what it said."""

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async for line in reader:
                heard(Verdict.model_validate_json(line).unfit)
        except (ConnectionError, ValueError):
            pass  # a stranger, or half a line: what was heard before holds
        finally:
            writer.close()

    try:
        server = await asyncio.start_unix_server(hear, path)
    except OSError as error:  # a path that is too long for a socket
        print(f"{path}: {error}; no health agent is heard", file=sys.stderr)  # noqa: T201
        return
    async with server:
        await server.serve_forever()
