"""Cut the provider schemas that the overlay needs out of cfn-lint: `python -m paceline.local.aws.extract`.

cfn-lint (MIT-0) carries the CloudFormation registry's schemas of about 1660 types. Run this with cfn-lint installed
after adding a type; the result is committed, so cfn-lint is not needed to run anything.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Any

from paceline.local.aws.overlay import TYPES
from paceline.local.aws.schemas import DIRECTORY

CFN_LINT = "1.58.0"
REGION = "us-east-1"
KEPT = (
    "additionalProperties",
    "createOnlyProperties",
    "primaryIdentifier",
    "readOnlyProperties",
    "required",
    "tagging",
    "typeName",
)
KEPT_OF_PROPERTY = ("$ref", "type", "enum", "required", "additionalProperties")


def cut(node: dict[str, Any]) -> dict[str, Any]:
    """A property or definition with only what `Schema` reads."""
    kept: dict[str, Any] = {key: node[key] for key in KEPT_OF_PROPERTY if key in node}
    for key in ("properties", "patternProperties"):
        if key in node:
            kept[key] = {name: cut(item) for name, item in node[key].items()}
    if "items" in node:
        kept["items"] = cut(node["items"])
    return kept


def main() -> None:
    """Write one file per type of the overlay; files of types that are gone are removed."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    if (found := version("cfn-lint")) != CFN_LINT:
        sys.exit(f"cfn-lint {found} is installed, {CFN_LINT} is wanted: pip install cfn-lint=={CFN_LINT}")
    for path in DIRECTORY.glob("*.json"):
        path.unlink()
    for name in sorted(TYPES):
        schema: dict[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, name).schema
        document = {key: schema[key] for key in KEPT if key in schema}
        document["properties"] = {key: cut(item) for key, item in schema["properties"].items()}
        document["definitions"] = {key: cut(item) for key, item in schema.get("definitions", {}).items()}
        path = DIRECTORY / f"{name.replace('::', '-')}.json"
        path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="ascii")
        sys.stderr.write(f"{name}: {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
