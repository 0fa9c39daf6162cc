"""What a team's file is compared with: a commit, another file, or what is deployed."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

from paceline.spec.deployment import Deployment
from paceline.spec.documents import Document, Origin, parse, read, validate
from paceline.spec.errors import ParameterError
from stacks.record import RECORD, recorded
from stacks.settings import Parameters
from stacks.teams import PLATFORM


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """`name` is what reports call it. `parameters` is None when the team is not there.

    `templates` holds the stacks by id (`Storage`) where they are known; None: those that today's code makes of the
    parameters. `unsettled` says of each stack whose deployment failed or goes on how it stands.
    """

    name: str
    parameters: Parameters | None
    templates: Mapping[str, Mapping[str, Any]] | None = None
    unsettled: Mapping[str, str] | None = None


def of_commit(team: str, revision: str, directory: Path) -> Baseline:
    """The team as a git revision has it; ParameterError when there is no such revision."""
    wrong = f"{revision}: neither a file nor a revision"
    commit = _git(directory, "rev-parse", "--short", "--verify", f"{revision}^{{commit}}", wrong=wrong).strip()
    name = f"commit {commit}" if revision.startswith(commit) else f"{revision} (commit {commit})"
    if f"{team}.yaml" not in _git(directory, "ls-tree", "--name-only", revision, "./").split():
        return Baseline(name=name, parameters=None)
    parameters = _resolved(_document(team, revision, directory), _document(PLATFORM, revision, directory))
    return Baseline(name=name, parameters=parameters)


def is_committed(team: str, directory: Path) -> bool:
    """Whether the last commit knows the team; False where there is no repository."""
    try:
        return f"{team}.yaml" in _git(directory, "ls-tree", "--name-only", "HEAD", "./").split()
    except ParameterError:
        return False


def of_file(path: Path, directory: Path) -> Baseline:
    """The team as another file says it, laid over today's platform.yaml."""
    platform = read(directory / f"{PLATFORM}.yaml", ParameterError)
    return Baseline(name=str(path), parameters=_resolved(read(path, ParameterError), platform))


def of_deployment(deployment: Deployment) -> Baseline:
    """The team as it is deployed: the templates that are there, and the parameters that it was last deployed from."""
    place = f"what is deployed in account {deployment.account}, {deployment.region}"
    stacks = {stack.name.removeprefix(f"{deployment.team}-"): stack for stack in deployment.stacks}
    record = stacks.get(RECORD)
    data = recorded(record.template) if record else None
    parameters = None
    if record and data:
        origin = Origin(source=f"the metadata of the stack {record.name}")
        parameters = validate(Parameters, Document(data=data, origins={(): origin}), ParameterError)
        place += f", whole since {record.changed.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return Baseline(
        name=place,
        parameters=parameters,
        templates={name: stack.template for name, stack in stacks.items()},
        unsettled={name: stack.status for name, stack in stacks.items() if not stack.settled},
    )


def _resolved(team: Document, platform: Document) -> Parameters:
    return validate(Parameters, team.over(platform), ParameterError)


def _document(name: str, revision: str, directory: Path) -> Document:
    text = _git(directory, "show", f"{revision}:./{name}.yaml")
    return parse(text, f"{revision}:{name}.yaml", ParameterError)


def _git(directory: Path, *arguments: str, wrong: str | None = None) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=directory, capture_output=True, text=True, check=True)
    except FileNotFoundError as cause:
        raise ParameterError("git is not installed", "compare with a file: --against FILE.yaml") from cause
    except subprocess.CalledProcessError as cause:
        message = wrong or f"git {' '.join(arguments)}: {cause.stderr.strip()}"
        hint = "compare with a file (--against FILE.yaml), a commit, or what is deployed (--against deployed)"
        raise ParameterError(message, hint) from cause
    return done.stdout
