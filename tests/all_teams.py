"""Every shipped team, made disposable, and the account that it is deployed to: what test_all_teams.py works with."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jmespath
import yaml

from paceline.local.aws.server import EmbeddedAws
from paceline.local.cdk import Cdk, StackResult
from stacks.settings import Parameters
from stacks.teams import read_teams
from tests.shipped_teams import copy_app

ROOT = Path(__file__).parents[1]
ACCOUNT = "123456789012"
SHIPPED = sorted(path for path in (ROOT / "stacks" / "parameters").glob("*.yaml") if path.stem != "platform")
VIEWS: Mapping[str, Mapping[str, Any]] = yaml.safe_load(
    (ROOT / "tests" / "integration" / "fixtures" / "views.yaml").read_text(encoding="utf-8")
)
LISTED = [name for name, view in VIEWS.items() if "part_of" not in view]

Ids = Mapping[str, set[str]]
"""Physical ids by region."""


@dataclass(kw_only=True)
class Platform:
    """A copy of the app and its teams, and the account that they are deployed to.

    `empty` is what the SDK listed before, `deployed` what the CLI did, `first` what was made, by type and region.
    """

    repository: Path
    aws: EmbeddedAws
    empty: Mapping[str, Ids] = field(default_factory=dict)
    deployed: Sequence[StackResult] = ()
    first: Mapping[str, Ids] = field(default_factory=dict)
    clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def cdk(self) -> Cdk:
        return Cdk(self.repository, environment=self.aws.environment(), log=self.repository.parent / "cdk.log")

    def file(self, team: str) -> Path:
        return self.repository / "stacks" / "parameters" / f"{team}.yaml"

    @cached_property
    def teams(self) -> Mapping[str, Parameters]:
        """The parameters of each team, as they were at first."""
        return {team.name: team.parameters for team in read_teams(self.repository / "stacks" / "parameters")}

    @cached_property
    def regions(self) -> list[str]:
        return sorted({parameters.location.region for parameters in self.teams.values()})

    def in_region(self, service: str, region: str) -> Any:
        """A client; making one takes as long as ten calls."""
        if (service, region) not in self.clients:
            self.clients[service, region] = self.aws.client(service, region=region)
        return self.clients[service, region]

    def client(self, service: str, team: str) -> Any:
        return self.in_region(service, self.teams[team].location.region)

    def listed(self, type_name: str) -> Ids:
        """What the SDK lists of a type."""
        view = VIEWS[type_name]
        return {region: set(self._listed(view, region)) for region in self.regions}

    def made(self) -> Mapping[str, Ids]:
        """What CloudFormation says it made in the stacks of the teams, by type."""
        made: dict[str, dict[str, set[str]]] = {}
        for region in self.regions:
            for found in self._resources(region):
                nowhere = {name: set[str]() for name in self.regions}
                made.setdefault(found["ResourceType"], nowhere)[region].add(found["PhysicalResourceId"])
        return made

    def resources(self, team: str) -> dict[tuple[str, str], str]:
        """The physical id of each resource of a team, by stack and logical id."""
        region = self.teams[team].location.region
        return {
            (found["StackName"], found["LogicalResourceId"]): found["PhysicalResourceId"]
            for found in self._resources(region)
            if found["StackName"].startswith(f"{team}-")
        }

    def one(self, team: str, type_name: str) -> str:
        """The physical id of the one resource of a type that a team has."""
        (found,) = (
            found["PhysicalResourceId"]
            for found in self._resources(self.teams[team].location.region)
            if found["ResourceType"] == type_name and found["StackName"].startswith(f"{team}-")
        )
        return str(found)

    def paceline(self, *arguments: str) -> Any:
        """What a command prints as JSON."""
        command = [sys.executable, "-c", "from paceline.cli.main import main; main()", *arguments]
        done = subprocess.run(command, cwd=self.repository, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def _resources(self, region: str) -> Iterator[dict[str, Any]]:
        cloudformation = self.in_region("cloudformation", region)
        for stack in cloudformation.describe_stacks()["Stacks"]:
            if stack["StackName"] != "CDKToolkit":
                pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack["StackName"])
                yield from ({**found, **stack} for page in pages for found in page["StackResourceSummaries"])

    def _listed(self, view: Mapping[str, Any], region: str) -> Iterator[str]:
        client = self.in_region(view["service"], region)
        within = view.get("within")
        parents = list(_ids(client, within["operation"], {}, within["ids"])) if within else [""]
        for parent in parents:
            given = {**view.get("parameters", {}), **({within["parameter"]: parent} if within else {})}
            for found in _ids(client, view["operation"], given, view["ids"]):
                yield view.get("physical", "{id}").format(id=found, parent=parent)


def _ids(client: Any, operation: str, parameters: Mapping[str, str], expression: str) -> Iterator[str]:
    if client.can_paginate(operation):
        yield from client.get_paginator(operation).paginate(**parameters).search(expression)
    else:
        yield from jmespath.search(expression, getattr(client, operation)(**parameters))


def copy_of_the_app(repository: Path) -> None:
    """The app and its teams, which can be destroyed: their lifecycle is disposable."""
    copy_app(repository)
    (repository / "node_modules").symlink_to(ROOT / "node_modules")
    for path in SHIPPED:
        given = path.read_text(encoding="utf-8").replace("\nlifecycle: disposable\n", "\n")
        (repository / path.relative_to(ROOT)).write_text(f"{given}\nlifecycle: disposable\n", encoding="utf-8")


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Say how long it took, to whoever runs pytest with -s."""
    began = time.monotonic()
    yield
    sys.stderr.write(f"{what}: {time.monotonic() - began:.1f} s\n")
