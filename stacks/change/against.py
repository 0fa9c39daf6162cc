"""The parameters that a team's file is compared with: of a commit, or of another file."""

from __future__ import annotations

import subprocess
from pathlib import Path

from paceline.spec.documents import Document, parse, read, validate
from paceline.spec.errors import ParameterError
from stacks.settings import Parameters
from stacks.teams import PLATFORM


def parameters_of(name: str, against: str, directory: Path) -> Parameters | None:
    """The team `name` as `against` has it: a YAML file, laid over today's platform.yaml, or a git revision.

    None when the revision knows no such team. ParameterError when neither exists, or when the parameters do not fit
    the settings of today.
    """
    if against.endswith(".yaml"):
        platform = read(directory / f"{PLATFORM}.yaml", ParameterError)
        return _resolved(read(Path(against), ParameterError), platform)
    _git(directory, "rev-parse", "--verify", f"{against}^{{commit}}", wrong=f"{against}: neither a file nor a revision")
    if f"{name}.yaml" not in _git(directory, "ls-tree", "--name-only", against, "./").split():
        return None
    return _resolved(_document(name, against, directory), _document(PLATFORM, against, directory))


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
        raise ParameterError(message, "compare with a file (--against FILE.yaml) or a commit") from cause
    return done.stdout
