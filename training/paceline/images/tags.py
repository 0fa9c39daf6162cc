"""What an image is called: `<version>-<image>-<stack>-<digest8>`, the same for the same inputs.

The last part is a digest of what the image is built from: its Dockerfile, which names the base, and what that copies,
the matrix among it. A changed input is another tag, so a registry with immutable tags takes it, and an unchanged one is
not pushed again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from paceline.images.matrix import Located

_COPY = re.compile(r"^COPY\s+(?!--from)((?:--\S+\s+)*)(.+)\s+\S+$", re.MULTILINE)


def tag(located: Located, name: str) -> str:
    """The tag of an image of the matrix."""
    image = located.matrix.images[name]
    return f"{located.matrix.version}-{name}-{image.stack}-{digest(located, name)[:8]}"


def digest(located: Located, name: str) -> str:
    """SHA-256 of all that the image is built from."""
    total = hashlib.sha256()
    for path in sorted(inputs(located.root, name)):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(located.root)}\0{content}\n".encode())
    return total.hexdigest()


def inputs(root: Path, name: str) -> Iterator[Path]:
    """The files of the repository that an image's Dockerfile copies, and itself."""
    dockerfile = root / "images" / name / "Dockerfile"
    yield dockerfile
    for _, sources in _COPY.findall(dockerfile.read_text(encoding="utf-8").replace("\\\n", " ")):
        for source in sources.split():
            path = root / source
            files = [path] if path.is_file() else path.rglob("*")
            yield from (file for file in files if file.is_file() and "__pycache__" not in file.parts)
