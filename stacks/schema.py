"""The JSON schema of parameter files, for editors: `python -m stacks.schema` writes it, `--check` compares."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from stacks.settings import Parameters

SCHEMA = Path(__file__).parent / "parameters" / "schema.json"


def render() -> str:
    """The schema as text.

    Nothing is required in it: a key may stand in the team's file or in platform.yaml, and an editor sees only one of
    them. Synthesis reports what is missing in both.
    """
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Parameters.model_json_schema()}
    for model in (schema, *schema["$defs"].values()):
        model.pop("required", None)
    return json.dumps(schema, indent=2) + "\n"


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
