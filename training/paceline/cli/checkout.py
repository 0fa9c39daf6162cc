"""The infrastructure's commands. It is not part of this package: it is run from its checkout, as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from paceline.spec.deployment import Deployment
from paceline.spec.errors import ClusterError, DeployError


class Checkout:
    """The repository that the working directory lies in; DeployError when it lies in none."""

    def __init__(self) -> None:
        here = Path.cwd()
        found = [d for d in (here, *here.parents) if (d / "stacks" / "commands.py").is_file()]
        if not found:
            raise DeployError(
                f"{here}: not inside a checkout: there is no stacks/commands.py here or above",
                "the infrastructure is not part of the package: clone the repository and run this in it",
            )
        self.root = found[0]

    def run(self, *arguments: str) -> None:
        """Run one command; what it prints is passed on. Its refusals are on stderr already, and so is the exit code."""
        self._run(arguments, stdout=None)

    def read(self, *arguments: str) -> Any:
        """The same for a command that prints JSON: what it says."""
        return json.loads(self._run((*arguments, "--json"), stdout=subprocess.PIPE))

    def deployment(self, team: str) -> Deployment:
        """What is deployed of `team`, in the account and region of its file. ClusterError when nobody may look."""
        from paceline.clients import aws, cloudformation

        location = self.read("show", team)["location"]
        account, region = location["account"], location["region"]
        if (signed_in := aws.account()) != account:
            raise ClusterError(
                f"the AWS credentials are for account {signed_in}, and {team} lives in {account}",
                f"use credentials for {account}, e.g. with AWS_PROFILE",
            )

        def show_progress(name: str) -> None:
            typer.echo(f"reading {name}", err=True)

        client = cloudformation.client(region)
        return cloudformation.deployment(client, team, account=account, region=region, on_stack=show_progress)

    def _run(self, arguments: tuple[str, ...], *, stdout: int | None) -> str:
        from paceline.local.cdk import node_binary

        done = subprocess.run(
            [sys.executable, "-m", "stacks.commands", *arguments],
            cwd=self.root,
            env=os.environ | {"JSII_NODE": str(node_binary())},
            stdout=stdout,
            text=True,
            check=False,
        )
        if done.returncode:
            raise typer.Exit(done.returncode if done.returncode > 0 else 128 - done.returncode)  # a signal, as in sh
        return done.stdout or ""


@contextmanager
def handed_over(deployment: Deployment) -> Iterator[str]:
    """The path of a file with `deployment`, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="paceline-") as directory:
        file = Path(directory) / "deployment.json"
        file.write_text(deployment.model_dump_json(), encoding="utf-8")
        yield str(file)
