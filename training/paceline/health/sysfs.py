"""Files of sysfs as one text: a line `path: content` for each, and a last line that says that it is whole."""

from __future__ import annotations

from paceline.health.base import InconclusiveError, Probe

_END = "end"


def files(probe: Probe, *patterns: str) -> str:
    """All files that match. What cannot be read makes the whole look inconclusive."""
    paths = [path for pattern in patterns for path in probe.find(pattern)]
    return "".join(f"{path}: {' '.join(probe.read(path).split())}\n" for path in paths) + f"{_END}\n"


def parse_files(text: str) -> dict[str, str]:
    """The content by path; InconclusiveError when the text is not whole."""
    lines = text.splitlines()
    if not lines or lines[-1] != _END or not text.endswith("\n"):
        raise InconclusiveError("the list of files is not whole")
    found = {}
    for line in lines[:-1]:
        path, separator, value = line.partition(": ")
        if not separator and line.endswith(":"):
            path, value = line[:-1], ""  # an empty file
        if not path.startswith("/") or path == line:
            raise InconclusiveError(f"not a file: {line[:200]}")
        found[path] = value
    return found
