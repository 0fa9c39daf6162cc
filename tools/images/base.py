"""A base image made on the spot, where no registry can be reached: Debian with the Python of the matrix.

It stands in for `bases.python` of images/versions.toml: the same commands (`python`, `pip`, `useradd`, `apt-get`),
other bytes. What is built on it is for tests and laptops, never for a registry.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tools.images.debian import KEYRING, archive, call, unpack
from tools.images.engine import Docker

NAME = "localhost/paceline-base:python3.11"
_RELEASE = "bookworm"  # its Python is 3.11
# usr-is-merged: its alternative brings Perl along
_PACKAGES = "ca-certificates,python3,python3-pip,python3-venv,usr-is-merged"
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/info/*")
# as in the image that it stands in for: `python` is there, and pip may install
_LIKE_UPSTREAM = 'ln -s python3 "$1/usr/bin/python"; rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED'


def make(docker: Docker, state: Path) -> str:
    """The base's name; it is made if the engine lacks it. UnavailableError where Debian's packages cannot be had."""
    if docker.attempt("image", "inspect", NAME).returncode == 0:
        return NAME
    address, release = archive()
    programs = unpack(release, ["mmdebstrap"], state / "mmdebstrap") / "usr/bin"
    with tempfile.TemporaryDirectory(dir=state) as scratch:
        tar = Path(scratch) / "base.tar"
        # what it mounts goes with the namespace
        command = ["unshare", "--mount", "--propagation", "private", "perl", str(programs / "mmdebstrap"), "--quiet"]
        command += ["--mode=root", "--variant=minbase", f"--include={_PACKAGES}", f"--customize-hook={_LIKE_UPSTREAM}"]
        command += ["--dpkgopt=force-unsafe-io"]  # half made it is thrown away anyway
        command += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
        command += [_RELEASE, str(tar), f"deb [signed-by={KEYRING}] {address} {_RELEASE} main"]
        call(command, path=programs)
        docker("import", str(tar), NAME)
    return NAME
