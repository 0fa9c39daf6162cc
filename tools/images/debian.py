"""Programs out of Debian's packages, unpacked beside the machine's own and not installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TARGETS = ("apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI) $(CODENAME)", "Created-By: Packages")


class UnavailableError(Exception):
    """This machine cannot do it; the text says why."""


def archive() -> tuple[str, str]:
    """Where this machine takes Debian's packages from, and its release. UnavailableError if it is no Debian machine."""
    if shutil.which("apt-get") is None or not KEYRING.exists():
        raise UnavailableError("this is no Debian machine")
    for line in call(_TARGETS).splitlines():
        origin, address, release = line.split()
        if origin == "Debian":
            return address, release
    raise UnavailableError("apt knows no Debian archive (run `apt-get update`)")


def unpack(suite: str, packages: Sequence[str], state: Path, *, complete: bool = False) -> Path:
    """The root under which the newest `packages` of a suite lie, without what they depend on, or `complete` with all
    of it that this machine has not got, or not new enough. `state` keeps it.

    apt's own state on the machine stays as it is.
    """
    root = state / "root"
    done = state / "packages"
    if done.exists() and done.read_text() == f"{suite} {' '.join(packages)}":
        return root
    shutil.rmtree(state, ignore_errors=True)
    root.mkdir(parents=True)
    apt = _apt(suite, state, "deb")
    wanted = packages
    if complete:
        plan = call([*apt, "install", "--simulate", "--no-install-recommends", *packages])
        wanted = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
    call([*apt, "download", *wanted], folder=state / "debs")
    for package in (state / "debs").glob("*.deb"):
        call(["dpkg-deb", "--extract", str(package), str(root)])
    shutil.rmtree(state / "lists")
    shutil.rmtree(state / "debs")
    done.write_text(f"{suite} {' '.join(packages)}")
    return root


def source(suite: str, package: str, state: Path) -> Path:
    """The archive of what Debian's package is built from, as its authors published it. `state` keeps it."""
    if not list(state.glob("debs/*.orig.tar.*")):
        apt = _apt(suite, state, "deb-src")
        call([*apt, "source", "--download-only", package], folder=state / "debs")
    [archived] = state.glob("debs/*.orig.tar.*")
    return archived


def _apt(suite: str, state: Path, kind: str) -> list[str]:
    """apt-get with lists of its own, of `kind` (deb, deb-src), under `state`."""
    for folder in (state / "lists" / "partial", state / "debs" / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    address, _ = archive()
    sources = state / "sources.list"
    sources.write_text(f"{kind} [signed-by={KEYRING}] {address} {suite} main\n")
    apt = [
        *("apt-get", "--quiet=2", "-o", f"Dir::State::lists={state / 'lists'}", "-o", f"Dir::Cache={state / 'debs'}"),
        *("-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=/dev/null"),
        # as apt's own user it could not write here
        *("-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none"),
    ]
    call([*apt, "update"])
    return apt


def call(command: Sequence[str], folder: Path | None = None, path: Path | None = None) -> str:
    """What a command prints; `path` is searched for programs first. UnavailableError with its words if it fails."""
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"} if path else None
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UnavailableError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
