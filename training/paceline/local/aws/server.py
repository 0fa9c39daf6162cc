"""Start and stop the embedded AWS.

    with EmbeddedAws(Path("runs/demo"), account="123456789012", region="us-east-1") as aws:
        subprocess.run(["aws", "s3", "ls"], env=aws.environment())

It is one child process that listens on the loopback interface only and keeps its state in `<run>/aws`: stopped and
started again on the same directory it shows the same stacks, buckets and parameters. State only; nothing is simulated.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from paceline.spec.errors import LaunchError

MINISTACK = "1.5.33"
"""The one version whose private names the overlay knows."""
HOST = "localhost"
"""By name: some SDKs and the CDK CLI treat a bare address as a bucket's host name."""
START_SECONDS = 30.0
STOP_SECONDS = 15.0
LOG_LINES = 15


@contextmanager
def surrounded_by(environment: Mapping[str, str]) -> Iterator[None]:
    """This process and the children that it starts have `environment`, and nothing else."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class EmbeddedAws:
    """An AWS account on loopback. Use it as a context manager, or call `start` and `stop`.

    `run` is the run directory; `account` has 12 digits; `port` is a free one when not given.
    """

    def __init__(self, run: Path, *, account: str, region: str, port: int | None = None) -> None:
        if len(account) != 12 or not account.isdigit():
            raise LaunchError(f"embedded AWS: account {account!r} is not an account id", "give 12 digits")
        self.directory = run.absolute() / "aws"
        self.log = self.directory / "server.log"
        self.account = account
        self.region = region
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    def url(self) -> str:
        """The endpoint of every service."""
        return f"http://{HOST}:{self.port}"

    @property
    def process_id(self) -> int | None:
        """The child's process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it and wait until it answers; LaunchError when it cannot."""
        _check_version()
        for name in ("state", "s3", "tmp"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.directory / "lock")
        try:
            self.port = _free_port() if self.port is None else _checked_port(self.port)
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "paceline.local.aws.main"],
                    env=self._server_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # out of the terminal's reach: Ctrl-C stops it by way of its parent, after the parent's own work
                    start_new_session=True,
                    pass_fds=[self._lock.fileno()],
                )
            self._wait()
        except BaseException:  # Ctrl-C too: the server does not outlive the one who asked for it
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it; its state is saved first. Does nothing when it does not run."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def environment(self) -> dict[str, str]:
        """This process's environment, with every AWS setting replaced by those that lead here.

        The access key is the account number, by which ministack tells accounts apart.
        """
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        local = ",".join(filter(None, [kept.get("NO_PROXY") or kept.get("no_proxy"), HOST, "127.0.0.1"]))
        return kept | {
            "AWS_ACCESS_KEY_ID": self.account,
            "AWS_SECRET_ACCESS_KEY": "embedded",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.url,
            "NO_PROXY": local,
            "no_proxy": local,
        }

    def client(self, service: str, *, region: str | None = None) -> Any:
        """A boto3 client of a service of this account, in its own region if none is given."""
        import boto3

        session: Any = boto3.Session(
            aws_access_key_id=self.account, aws_secret_access_key="embedded", region_name=region or self.region
        )
        return session.client(service, endpoint_url=self.url)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _server_environment(self) -> dict[str, str]:
        return self.environment() | {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_ACCOUNT_ID": self.account,
            "MINISTACK_REGION": self.region,
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self.directory / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.directory / "s3"),
            "TMPDIR": str(self.directory / "tmp"),
            # no daemon: ministack would otherwise remove and start containers of whoever runs this
            "DOCKER_HOST": f"unix://{self.directory}/no-docker.sock",
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
        }

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if (code := self._process.poll()) is not None:
                raise self._failure(f"it ended with exit code {code}")
            if time.monotonic() > deadline:
                raise self._failure(f"it did not answer within {START_SECONDS:.0f} s")
            time.sleep(0.05)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/_ministack/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _failure(self, reason: str) -> LaunchError:
        tail = "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])
        return LaunchError(f"embedded AWS: {reason}; the end of its log:\n{tail}", f"the whole log is {self.log}")


def _check_version() -> None:
    try:
        found = version("ministack")
    except PackageNotFoundError:
        found = "none"
    if found != MINISTACK:
        raise LaunchError(f"embedded AWS: ministack {MINISTACK} is needed, {found} is installed", "run `make setup`")


def _locked(path: Path) -> IO[str]:
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        what = f"embedded AWS: {path.parent} is in use by another run"
        raise LaunchError(what, "stop that run, or choose another run directory") from None
    return file


def _checked_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as cause:
            what = f"embedded AWS: port {port} on 127.0.0.1 cannot be used: {cause.strerror}"
            raise LaunchError(what, "stop what listens there, or leave the port out to get a free one") from cause
    return port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
