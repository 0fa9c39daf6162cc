"""What a synthesis made: `python tools/synth_table.py cdk.out` prints a line per stack.

The exit code is 1 when a stack is beyond what CloudFormation accepts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paceline.catalog.cloudformation import template_limits

_LIMITS = template_limits()


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    stack: str
    resources: int
    size: int

    @property
    def fits(self) -> bool:
        return self.resources <= _LIMITS.max_resources and self.size <= _LIMITS.max_bytes


def rows(assembly: Path) -> Iterator[Row]:
    """The stacks of a cloud assembly and of the assemblies in it, in the order of the manifests."""
    manifest = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))
    for artifact in manifest["artifacts"].values():
        properties = artifact.get("properties", {})
        if artifact["type"] == "cdk:cloud-assembly":
            yield from rows(assembly / properties["directoryName"])
        elif artifact["type"] == "aws:cloudformation:stack":
            text = (assembly / properties["templateFile"]).read_bytes()
            name = artifact["displayName"].split(" ")[0]
            yield Row(stack=name, resources=len(json.loads(text)["Resources"]), size=len(text))


def main(directory: str) -> int:
    if not (Path(directory) / "manifest.json").is_file():
        print(f"error: {directory}: no cloud assembly\n\nhint: make synth", file=sys.stderr)
        return 1
    found = list(rows(Path(directory)))
    width = max(len(row.stack) for row in found)
    print(f"{'stack':<{width}}  resources    kB")
    for row in found:
        beyond = (
            "" if row.fits else f"  more than {_LIMITS.max_resources} resources or {_LIMITS.max_bytes / 1e3:.0f} kB"
        )
        print(f"{row.stack:<{width}}  {row.resources:>9}  {row.size / 1e3:>4.0f}{beyond}")
    return 0 if all(row.fits for row in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
