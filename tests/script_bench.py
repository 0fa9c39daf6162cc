"""Runs the shell scripts of constructs/ for real: in a scratch root, with stand-ins for commands that change a machine
or call AWS. Whatever is neither a stand-in nor one of HARMLESS is missing there, as on a broken image."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

HARMLESS = (
    *(
        "awk",
        "bash",
        "cat",
        "chmod",
        "cut",
        "dirname",
        "env",
        "find",
        "grep",
        "head",
        "id",
        "mkdir",
        "mktemp",
        "mv",
        "rm",
    ),
    *("sed", "seq", "sha256sum", "sort", "stat", "tail", "timeout", "touch", "tr", "wc"),
)
# the places of a node that the scripts name; the rest of the machine stays out of their reach by PATH
_PLACES = re.compile(r"(?<![\w/.:}*-])/(?=(?:etc|opt|scratch|home|fsx|var/lib|dev(?!/null))(?:[/\s\"';:)]|$))")


class Bench:
    """A machine made of a directory. `calls` are the commands that stand-ins were called with, one a line."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._bin, self._log = root / "bin", root / "calls"
        self._bin.mkdir(parents=True)
        for name in HARMLESS:
            found = shutil.which(name)
            assert found, name
            (self._bin / name).symlink_to(found)

    def add(self, script: Path, to: str) -> Path:
        """Install `script` at the absolute path `to` of the machine, with the places it names moved into the root."""
        target = self.root / to.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_PLACES.sub(f"{self.root}/", script.read_text()))
        target.chmod(0o755)
        return target

    def stand_in(self, name: str, body: str = "") -> None:
        """A command that records its arguments and then does `body`: bash, with the machine's root in $ROOT."""
        path = self._bin / name
        path.unlink(missing_ok=True)
        path.write_text(
            f'#!/usr/bin/env bash\nprintf "%s\\n" "{name} $*" >>"{self._log}"\nROOT="{self.root}"\n{body}\n'
        )
        path.chmod(0o755)

    def run(self, script: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `script` in an environment of PATH and `environment` alone."""
        self._log.write_text("")
        return subprocess.run(
            [str(self._bin / "bash"), str(script), *arguments],
            env={"PATH": str(self._bin), "TMPDIR": str(self.root), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @property
    def calls(self) -> list[str]:
        return self._log.read_text().replace(str(self.root), "").splitlines()

    def called(self, start: str) -> list[str]:
        """The calls that begin with `start`."""
        return [call for call in self.calls if call.startswith(start)]

    def read(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text().replace(str(self.root), "")
