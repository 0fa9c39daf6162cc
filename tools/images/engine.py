"""A Docker engine: the machine's own if one answers, else one made on the spot that leaves nothing behind.

Made on the spot means: Debian's packages, unpacked under `.engine/`, run as root in namespaces of its own for mounts
and processes. It ends when this process does, however that ends, and the kernel ends with it all that it started. Its
images and build cache stay under `.engine/`, for the next time.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tools.images.debian import UnavailableError, archive, unpack

# The engine of Debian's releases is too old for `docker build --check`. runc is the machine's: that of sid asks for a
# newer C library.
_SUITE = "sid"
_PACKAGES = ("docker.io", "docker-cli", "docker-buildx", "containerd")
_START_SECONDS = 30.0

# `read` ends when nobody holds the other end of the pipe any more
_ENGINE = """
mount -t tmpfs tmpfs /run || exit 1
dockerd --host "unix://$1/docker.sock" --data-root "$2" --exec-root /run/docker --pidfile /run/dockerd.pid \\
    --bridge=none --iptables=false --ip6tables=false &
read -r _
kill "$!"
wait
"""


class DockerError(Exception):
    """A command of Docker failed; the text is the end of what it said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Docker:
    """A command line that reaches an engine. `own`: it was made here, and has no network of its own for containers."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    own: bool = False

    def __call__(self, *arguments: str, folder: Path | None = None) -> str:
        """What `docker ARGUMENTS` prints to stdout; DockerError if it fails."""
        done = self.attempt(*arguments, folder=folder)
        if done.returncode:
            tail = "\n".join(done.stderr.splitlines()[-40:])
            raise DockerError(f"docker {' '.join(arguments[:2])} ... ended with {done.returncode}\n{tail}")
        return done.stdout

    def attempt(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """`docker ARGUMENTS`, whatever comes of it."""
        command = [self.program, *arguments]
        return subprocess.run(
            command,
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def program(self) -> str:
        """The path of `docker`."""
        return shutil.which("docker", path=self.environment.get("PATH")) or "docker"


@contextmanager
def engine(state: Path) -> Iterator[Docker]:
    """An engine that builds and runs, until the context ends. Raises UnavailableError where none can be had."""
    docker = Docker()
    if shutil.which("docker") and docker.attempt("version").returncode == 0:
        yield docker
        return
    with _own(state.resolve()) as docker:
        yield docker


@contextmanager
def _own(state: Path) -> Iterator[Docker]:
    if os.geteuid() != 0:
        raise UnavailableError("no Docker engine answers, and only root can start one here")
    _, release = archive()
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("w") as lock, tempfile.TemporaryDirectory(prefix="paceline-engine-") as scratch:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            raise UnavailableError(f"another process builds with {state}") from cause
        root, runc = unpack(_SUITE, _PACKAGES, state / "docker"), unpack(release, ["runc"], state / "runc")
        programs = [root / "usr/bin", root / "usr/sbin", runc / "usr/sbin", os.environ["PATH"]]
        # a socket's path may have 108 bytes: it lies in the scratch folder and not in the checkout
        socket = Path(scratch)
        plugins = {"cliPluginsExtraDirs": [str(root / "usr/libexec/docker/cli-plugins")]}
        (socket / "config.json").write_text(json.dumps(plugins))
        docker = Docker(
            environment={
                **os.environ,
                "PATH": ":".join(map(str, programs)),
                "DOCKER_HOST": f"unix://{socket}/docker.sock",
                "DOCKER_CONFIG": str(socket),
            },
            own=True,
        )
        with _running(docker, socket, state):
            yield docker


@contextmanager
def _running(docker: Docker, socket: Path, state: Path) -> Iterator[None]:
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "private"]
    command += ["sh", "-c", _ENGINE, "engine", str(socket), str(state / "data")]
    log = state / "dockerd.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env=docker.environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C at the terminal is for us; we end it in our own time
        )
    assert process.stdin
    try:
        _wait_until_it_answers(docker, process, log)
        yield
    finally:
        process.stdin.close()
        process.wait()


def _wait_until_it_answers(docker: Docker, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while docker.attempt("version").returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            last = (log.read_text(errors="replace").splitlines() or ["it said nothing"])[-1]
            raise UnavailableError(f"the engine did not start: {last}")
        time.sleep(0.1)
