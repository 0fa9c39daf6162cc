"""The sandbox team on the embedded AWS: what is deployed is told from the file, changed, and taken down again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from paceline.local.aws.server import EmbeddedAws
from paceline.local.cdk import Cdk
from tests.shipped_teams import copy_app

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
ACCOUNT, REGION = "123456789012", "us-east-1"
STACKS = ["sandbox-Foundation", "sandbox-Record", "sandbox-Registry", "sandbox-Storage"]
PACELINE = [sys.executable, "-c", "from paceline.cli.main import main; main()", "team"]


@dataclass
class Account:
    """A checkout with one team, and the account that it deploys to."""

    checkout: Path
    aws: EmbeddedAws

    def environment(self, **more: str) -> dict[str, str]:
        rooms = os.pathsep.join(str(ROOT / room) for room in ("training", "constructs"))
        return {**self.aws.environment(), "PYTHONPATH": rooms, "NO_COLOR": "1", **more}

    def team(self, *arguments: str, answers: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PACELINE, *arguments],
            cwd=self.checkout,
            env=self.environment(**more),
            input=answers,
            capture_output=True,
            text=True,
            check=False,
        )

    def edit(self, old: str, new: str) -> None:
        file = self.checkout / "stacks" / "parameters" / "sandbox.yaml"
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")

    def deploy(self) -> None:
        log = self.checkout / "runs" / "deploy.log"
        cdk = Cdk(self.checkout, environment=self.environment(), log=log)
        cdk.bootstrap(account=ACCOUNT, region=REGION)
        cdk.deploy("sandbox/*", outputs=self.checkout / "runs" / "outputs.json")

    def stacks(self) -> list[str]:
        found = self.aws.client("cloudformation").describe_stacks()["Stacks"]
        return sorted(stack["StackName"] for stack in found if stack["StackName"].startswith("sandbox-"))

    def bucket(self) -> str:
        name = "/paceline/sandbox/storage/data-bucket"
        return str(self.aws.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    directory = tmp_path_factory.mktemp("teardown")
    checkout = directory / "checkout"
    copy_app(checkout)
    for name in ("vision", "speech", "hyperpod-eks", "hyperpod-slurm"):
        (checkout / "stacks" / "parameters" / f"{name}.yaml").unlink()
    (checkout / "node_modules").symlink_to(ROOT / "node_modules")
    with EmbeddedAws(directory / "run", account=ACCOUNT, region=REGION) as aws:
        yield Account(checkout, aws)


def test_before_it_is_deployed(account: Account) -> None:
    said = account.team("diff", "sandbox", "--against", "deployed")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith(
        f"sandbox, compared with what is deployed in account {ACCOUNT}, {REGION}:\n"
        "There is no such team there: everything is created.\n"
    )
    nothing = account.team("teardown", "sandbox")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert f"nothing is deployed in account {ACCOUNT}, {REGION}" in nothing.stderr


def test_credentials_of_another_account_are_told(account: Account) -> None:
    said = account.team("diff", "sandbox", "--against", "deployed", AWS_ACCESS_KEY_ID="210987654321")
    assert said.returncode == 3
    assert said.stderr == (
        f"error: the AWS credentials are for account 210987654321, and sandbox lives in {ACCOUNT}\n\n"
        f"hint: use credentials for {ACCOUNT}, e.g. with AWS_PROFILE\n"
    )


def test_what_is_deployed_is_what_the_file_said(account: Account) -> None:
    account.deploy()
    assert account.stacks() == STACKS
    said = account.team("diff", "sandbox", "--against", "deployed")
    first, rest = said.stdout.split("\n", 1)
    assert first.startswith(f"sandbox, compared with what is deployed in account {ACCOUNT}, {REGION}, whole since 20")
    assert rest == "Nothing changes.\n"


def test_a_change_is_predicted_and_then_deployed(account: Account) -> None:
    account.edit("noncurrent_days: 7", "noncurrent_days: 9")
    said = json.loads(account.team("diff", "sandbox", "--against", "deployed", "-o", "json").stdout)
    assert [(c["path"], c["old"], c["new"]) for c in said["changes"]] == [("storage.noncurrent_days", 7, 9)]
    assert [(stack["stack"], stack["changed"]) for stack in said["stacks"]] == [("Storage", 2)]
    account.deploy()
    after = account.team("diff", "sandbox", "--against", "deployed").stdout
    assert after.endswith("Nothing changes.\n")


def test_a_protected_team_is_not_taken_down(account: Account) -> None:
    cloudformation = account.aws.client("cloudformation")
    cloudformation.update_termination_protection(StackName="sandbox-Storage", EnableTerminationProtection=True)
    said = account.team("teardown", "sandbox", "--yes")
    assert said.returncode == 1
    assert "error: sandbox-Storage: protected against deletion" in said.stderr
    cloudformation.update_termination_protection(StackName="sandbox-Storage", EnableTerminationProtection=False)
    assert account.stacks() == STACKS


def test_another_name_deletes_nothing(account: Account) -> None:
    said = account.team("teardown", "sandbox", answers="vision\n")
    assert said.returncode == 1
    assert "another name was typed" in said.stderr
    assert account.stacks() == STACKS


def test_interrupted_and_run_again_it_goes_on_to_the_end(account: Account) -> None:
    s3, bucket = account.aws.client("s3"), account.bucket()
    for content in (b"old", b"new"):
        s3.put_object(Bucket=bucket, Key="datasets/a", Body=content)
    with subprocess.Popen(
        [*PACELINE, "teardown", "sandbox", "--yes"],
        cwd=account.checkout,
        env=account.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "destroying" in line:
                process.send_signal(signal.SIGINT)
                break
        said = process.stderr.read()
        assert process.wait(60) == 130
    assert "run the command again to go on" in said
    assert account.stacks() != []

    again = account.team("teardown", "sandbox", answers="sandbox\n")
    assert again.returncode == 0, again.stderr
    assert "sandbox: every stack is deleted" in again.stderr
    assert account.stacks() == []
    assert bucket not in [found["Name"] for found in s3.list_buckets()["Buckets"]]
