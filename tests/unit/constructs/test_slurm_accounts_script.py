"""The script that tells Slurm of accounts, run by a shell; sacctmgr is one that answers from a list."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from paceline_constructs.slurm.accounts import Account, account_commands

_SACCTMGR = """\
#!/bin/sh
# every command is noted; `show` prints what there is already
echo "$*" >>"{place}/asked"
case "$*" in
    *" show qos spare") echo spare ;;
    *"account=research format=user") printf '\\nleft\\n' ;;
esac
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sacctmgr").write_text(_SACCTMGR.format(place=tmp_path))
    (tmp_path / "sacctmgr").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def changes(place: Path, accounts: dict[str, Account]) -> list[str]:
    """What sacctmgr is told to change."""
    subprocess.run(["sh", "-c", account_commands("speech", accounts)], check=True)
    asked = (place / "asked").read_text().splitlines()
    return [line.removeprefix("--immediate --quiet ") for line in asked if line.startswith("--immediate")]


def test_guaranteed_nodes_are_a_qos_that_takes_them_from_spare(place: Path) -> None:
    assert changes(place, {"research": Account(people=("anna", "ben"), nodes=4, weight=3)}) == [
        "modify qos spare set priority=0 preemptmode=requeue gracetime=120",
        "add account research",
        "modify account research set fairshare=3",
        "add qos research",
        "modify qos research set priority=1000 preempt=spare grptres=node=4",
        "delete user left account=research",
        "add user anna account=research",
        "modify user anna where account=research set qos=research,spare defaultqos=research",
        "add user ben account=research",
        "modify user ben where account=research set qos=research,spare defaultqos=research",
    ]


def test_an_account_without_guaranteed_nodes_has_spare_alone(place: Path) -> None:
    told = changes(place, {"guests": Account(people=("anna",), nodes=0, weight=1)})
    assert "add qos guests" not in told
    assert told[-1] == "modify user anna where account=guests set qos=spare defaultqos=spare"
