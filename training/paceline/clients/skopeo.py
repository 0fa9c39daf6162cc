"""Copies of images between registries, by skopeo: layers pass through, nothing is stored or changed here."""

from __future__ import annotations

import shutil
import subprocess

from paceline.spec.errors import ImageError

_STDERR = 2  # its progress is talk


def copy(source: str, destination: str) -> None:
    """Copy `source` (by digest) with all its platforms to `destination` (by tag); both digests are the same after.

    A copy that is there already costs a look. ImageError if skopeo is missing or refuses.
    """
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        raise ImageError(
            "skopeo is not installed", "install it (Debian, Ubuntu: apt install skopeo), or use cluster-tools"
        )
    command = [skopeo, "copy", "--all", "--preserve-digests", f"docker://{source}", f"docker://{destination}"]
    if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=_STDERR, check=False).returncode:
        registry = destination.partition("/")[0]
        raise ImageError(
            f"{source}: could not be copied to {destination}",
            f"the repository must exist, and skopeo be signed in: aws ecr get-login-password"
            f" | skopeo login --username AWS --password-stdin {registry}",
        )
