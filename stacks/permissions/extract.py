"""The IAM actions of each type of resource: `python -m stacks.permissions.extract` writes them, `--check` compares.

They are those that CloudFormation's own handlers of a type say they call. cfn-lint (MIT-0) carries the schemas that say
it; the actions are committed as a table, so that only this needs cfn-lint.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

TYPES = Path(__file__).parent / "types.yaml"
ACTIONS = Path(__file__).parent / "actions.json"
REGION = "us-east-1"

# a schema names the S3 log operation REST.PUT.OBJECT, which is no IAM action
_ACTION = re.compile(r"[a-z0-9-]+:[A-Za-z0-9]+")
# a stack has neither users nor groups
_PEOPLE = re.compile(r"iam:\w+(Group|User)Policy")


def render() -> str:
    """The table as JSON text."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    types: dict[str, Any] = yaml.safe_load(TYPES.read_text(encoding="utf-8"))
    actions: dict[str, list[str]] = {}
    for name in types["types"]:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, name).schema
        says = (*schema.get("handlers", {}).values(), schema.get("tagging", {}))
        named = {action for part in says for action in part.get("permissions", ())}
        named |= set(types["more"].get(name, {}).get("actions", ()))
        actions[name] = sorted(action for action in named if _is_needed(action, types["unused_services"]))
    return json.dumps({"source": f"cfn-lint {version('cfn-lint')}", "actions": actions}, indent=1) + "\n"


def _is_needed(action: str, unused: list[str]) -> bool:
    return bool(_ACTION.fullmatch(action)) and not _PEOPLE.fullmatch(action) and action.split(":")[0] not in unused


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        fresh = ACTIONS.exists() and ACTIONS.read_text(encoding="utf-8") == render()
        if not fresh:
            sys.stderr.write(f"error: {ACTIONS.name} is stale\n\nhint: run `python -m stacks.permissions.extract`\n")
        return 0 if fresh else 1
    ACTIONS.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
