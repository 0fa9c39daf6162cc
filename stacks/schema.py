"""The JSON schema of parameter files, for editors: `python -m stacks.schema` writes it, `--check` compares."""

from __future__ import annotations

import sys
from pathlib import Path

from paceline.spec.json_schema import editor_schema
from stacks.settings import Parameters

SCHEMA = Path(__file__).parent / "parameters" / "schema.json"


def render() -> str:
    """The schema as text."""
    return editor_schema(Parameters)


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        fresh = SCHEMA.exists() and SCHEMA.read_text(encoding="utf-8") == render()
        if not fresh:
            sys.stderr.write(f"error: {SCHEMA.name} is stale\n\nhint: run `python -m stacks.schema`\n")
        return 0 if fresh else 1
    SCHEMA.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
