"""Read the teams: each file of a parameter directory, laid over `platform.yaml`, laid over the defaults of settings/.

`amis.lock` beside them adds the pinned machine images that a team does not name.

The only place that reads these files. There are no other sources: no environment variables, no CDK context.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from paceline.spec.documents import Document, nearest, read, validate
from paceline.spec.errors import ParameterError, Problem
from stacks.amis import pinned, read_lock
from stacks.settings import Parameters, Team
from stacks.validators import conflicts, contradictions

PLATFORM = "platform"


def read_teams(directory: Path) -> tuple[Team, ...]:
    """All teams of `directory`, by name. ParameterError holds every problem of every file."""
    files = _team_files(directory)
    problems: list[Problem] = []
    documents: dict[str, Document] = {}
    teams: list[Team] = []
    for name, path in files.items():
        try:
            documents[name] = read(path, ParameterError, name=_shown(path))
        except ParameterError as error:
            problems += error.problems
    if problems:  # a file that cannot be read would make its keys missing everywhere
        raise ParameterError.of(problems)
    platform, lock = documents.pop(PLATFORM), read_lock(directory)
    for name, document in documents.items():
        complete = documents[name] = document.over(platform)
        try:
            parameters = pinned(validate(Parameters, complete, ParameterError), lock)
        except ParameterError as error:
            problems += error.problems
            continue
        teams.append(team := Team(name=name, parameters=parameters))
        problems += contradictions(team, complete)
    problems += conflicts(teams, documents)
    if problems:
        once = dict.fromkeys(problems)  # a mistake in platform.yaml is every team's
        raise ParameterError.of(list(once))
    return tuple(teams)


def select(teams: Sequence[Team], names: str) -> tuple[Team, ...]:
    """Those of `teams` that `names` lists (`vision,speech`). ParameterError for each name that no team has."""
    by_name = {team.name: team for team in teams}
    chosen = names.split(",")
    problems = [
        Problem(message=f"{name}: no such team", hint=nearest(name, list(by_name)))
        for name in chosen
        if name not in by_name
    ]
    if problems:
        raise ParameterError.of(problems)
    return tuple(by_name[name] for name in dict.fromkeys(chosen))


def _team_files(directory: Path) -> dict[str, Path]:
    """The files by stem, or the error that says why there is nothing to deploy."""
    shown = _shown(directory)
    if not directory.is_dir():
        raise ParameterError(f"{shown}: no such directory", "run from the root of the repository")
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix in (".yaml", ".yml"))
    except OSError as error:
        raise ParameterError(f"{shown}: cannot be read: {error.strerror}", "let yourself read it") from error
    problems = [
        Problem(message=f"{_shown(path)}: {reason}", hint=hint) for path in paths for reason, hint in _misnamed(path)
    ]
    if problems:
        raise ParameterError.of(problems)
    if PLATFORM not in {path.stem for path in paths}:
        raise ParameterError(f"{shown}/{PLATFORM}.yaml: no such file", "it holds what all teams share; restore it")
    if len(paths) == 1:
        raise ParameterError(f"{shown}: no team file", "copy sandbox.yaml of the repository and edit it")
    return {path.stem: path for path in paths}


def _misnamed(path: Path) -> Iterator[tuple[str, str]]:
    if path.suffix != ".yaml":
        yield "parameter files end in .yaml", f"rename it to {path.stem}.yaml"
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,18}[a-z0-9]", path.stem):
        yield (
            f"{path.stem} cannot be a team's name",
            "use 2 to 20 lower-case letters, digits and dashes; start with a letter",
        )


def _shown(path: Path) -> str:
    """How messages call `path`: from the working directory where possible."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
