"""The embedded AWS refuses what cannot work, and hands out an environment that leads nowhere else."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from paceline.local.aws import server
from paceline.local.aws.server import EmbeddedAws
from paceline.spec.errors import LaunchError


def embedded(run: Path, port: int | None = None) -> EmbeddedAws:
    return EmbeddedAws(run, account="123456789012", region="us-east-1", port=port)


@pytest.mark.parametrize("account", ["12345", "12345678901x", ""])
def test_an_account_has_twelve_digits(tmp_path: Path, account: str) -> None:
    with pytest.raises(LaunchError, match="is not an account id"):
        EmbeddedAws(tmp_path, account=account, region="us-east-1")


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LaunchError, match=f"port {port} on 127.0.0.1 cannot be used") as refusal:
            embedded(tmp_path, port).start()
    assert "stop what listens there" in refusal.value.render()


def test_another_version_of_ministack_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "version", lambda name: "1.4.21")
    with pytest.raises(LaunchError, match=r"1\.5\.33 is needed, 1\.4\.21 is installed"):
        embedded(tmp_path).start()


def test_two_runs_cannot_share_a_directory(tmp_path: Path) -> None:
    first = embedded(tmp_path)
    first.directory.mkdir(parents=True)
    with server._locked(first.directory / "lock"), pytest.raises(LaunchError, match="in use by another run"):
        embedded(tmp_path).start()


def test_the_environment_leads_only_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "of-the-user")
    monkeypatch.setenv("NO_PROXY", "example.com")
    environment = embedded(tmp_path, port=4599).environment()
    assert "of-the-user" not in environment.values()
    assert environment["AWS_ENDPOINT_URL"] == "http://localhost:4599"
    assert environment["AWS_ACCESS_KEY_ID"] == "123456789012"
    assert environment["NO_PROXY"] == "example.com,localhost,127.0.0.1"


def test_stopping_what_does_not_run_is_nothing(tmp_path: Path) -> None:
    embedded(tmp_path).stop()


def test_a_failed_start_shows_the_end_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    double = tmp_path / "python"
    double.write_text("#!/bin/sh\necho no such table\nexit 3\n", encoding="ascii")
    double.chmod(0o755)
    monkeypatch.setattr(server.sys, "executable", str(double))
    aws = embedded(tmp_path / "run")
    with pytest.raises(LaunchError, match="exit code 3; the end of its log:\nno such table"):
        aws.start()
    assert aws.process_id is None
    with server._locked(aws.directory / "lock"):
        pass  # the directory is free again
