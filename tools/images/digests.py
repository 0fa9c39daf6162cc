"""Write the digests of pushed images into a team's parameters, where each image is named; comments and layout stay.

    python -m tools.images.digests stacks/parameters/vision.yaml node-agent=sha256:... controller=sha256:...

A digest goes wherever `repository: <name>` has its `tag:` beside it or in the next line, and into `agent_digest` for
the node agent. The exit code is 1 for an image that the file does not name.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

_AGENT = "node-agent"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def write(text: str, name: str, digest: str) -> str:
    """`text` with the digest of the image `name`; ValueError if it does not name that image."""
    beside = rf"(repository: {re.escape(name)}(?:,|\n) *tag: )(\"[^\"\n]*\"|[\w.:-]+)"
    places = [beside, r"(agent_digest: )(sha256:[0-9a-f]{64})"] if name == _AGENT else [beside]
    written = text
    for place in places:
        written = re.sub(place, rf"\g<1>{digest}", written)
    if written == text and digest not in text:
        raise ValueError(f"no image {name} with a tag or a digest")
    return written


def main(arguments: Sequence[str]) -> int:
    file, *images = arguments
    path = Path(file)
    text = path.read_text(encoding="utf-8")
    for image in images:
        name, _, digest = image.partition("=")
        if not _DIGEST.fullmatch(digest):
            print(f"error: {image}: not NAME=sha256:...", file=sys.stderr)
            return 2
        try:
            text = write(text, name, digest)
        except ValueError as error:
            print(f"error: {path}: {error}\n\nhint: name it there first", file=sys.stderr)
            return 1
    path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
