"""What `paceline team` runs: `python -m stacks.commands VERB ...` from the root of the repository.

The command line of the runtime may not import the infrastructure; it starts this and passes text and exit code on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paceline.spec.documents import Document, nearest, read
from paceline.spec.errors import EXIT_OK, EXIT_USER_ERROR, PacelineError, ParameterError
from stacks.settings import Team
from stacks.teams import read_teams
from stacks.validators.capacity import untimely

PARAMETERS = Path("stacks") / "parameters"


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code."""
    given = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = given.command
    try:
        return command(given)
    except PacelineError as error:
        sys.stderr.write(error.render() + "\n")
        return error.exit_code


def validate(given: argparse.Namespace) -> int:
    """Read every file: teams share addresses, so none is right alone. Then say so of the ones asked for.

    Only here it counts what day it is: a synthesis gives the same result on every day.
    """
    teams = read_teams(PARAMETERS)
    chosen = teams if given.name is None else (_one(teams, given.name),)
    over = [problem for team in chosen for problem in untimely(team, _document(team.name), datetime.now(UTC))]
    if over:
        raise ParameterError.of(over)
    if given.json:
        _print_json([team.name for team in chosen])
    else:
        _print_lines(f"{team.name}: ok" for team in chosen)
    return EXIT_OK


def ls(given: argparse.Namespace) -> int:
    """One row per team."""
    rows = [_row(team) for team in read_teams(PARAMETERS)]
    if given.json:
        _print_json(rows)
        return EXIT_OK
    table = [[key.upper() for key in rows[0]], *([str(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    _print_lines("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in table)
    return EXIT_OK


def show(given: argparse.Namespace) -> int:
    """A team with the platform's values and the defaults applied."""
    import yaml

    resolved = _one(read_teams(PARAMETERS), given.name).parameters.model_dump(mode="json")
    if given.json:
        _print_json(resolved)
    else:
        sys.stdout.write(yaml.safe_dump(resolved, sort_keys=False))
    return EXIT_OK


def diff(given: argparse.Namespace) -> int:
    """What deploying the file would do. The exit code is 1 when it must not be deployed."""
    from stacks.change.against import parameters_of
    from stacks.change.diff import difference
    from stacks.change.sentences import sentences

    team = _one(read_teams(PARAMETERS), given.name)
    old = parameters_of(team.name, given.against, PARAMETERS)
    found = difference(team, old, against=given.against, flags=_flags())
    if given.json:
        _print_json(found.plain())
    else:
        _print_lines(sentences(found))
    return EXIT_USER_ERROR if found.refused else EXIT_OK


def teardown_plan(given: argparse.Namespace) -> int:
    """The steps of taking a team down, in order."""
    from stacks.change.teardown import plan
    from stacks.change.templates import synthesize

    team = _one(read_teams(PARAMETERS), given.name)
    plan(team, [])  # refuses before the slow part
    steps = plan(team, list(synthesize(team, _flags())))
    home = {"account": team.parameters.location.account, "region": team.parameters.location.region}
    _print_json({"team": team.name, **home, "steps": [asdict(step) for step in steps]})
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stacks.commands")
    verbs = parser.add_subparsers(required=True)
    for command, name in ((validate, "?"), (ls, None), (show, "one"), (diff, "one"), (teardown_plan, "one")):
        verb = verbs.add_parser(command.__name__.replace("_", "-"))
        verb.set_defaults(command=command)
        verb.add_argument("--json", action="store_true")
        if name is not None:
            verb.add_argument("name", nargs="?" if name == "?" else None)
        if command is diff:
            verb.add_argument("--against", default="HEAD")
    return parser


def _one(teams: Sequence[Team], name: str) -> Team:
    by_name = {team.name: team for team in teams}
    if name not in by_name:
        raise ParameterError(f"{name}: no such team: {PARAMETERS}/{name}.yaml is missing", nearest(name, list(by_name)))
    return by_name[name]


def _document(name: str) -> Document:
    return read(PARAMETERS / f"{name}.yaml", ParameterError)


def _row(team: Team) -> dict[str, Any]:
    parameters = team.parameters
    return {
        "name": team.name,
        "account": parameters.location.account,
        "region": parameters.location.region,
        "lifecycle": parameters.lifecycle,
        "capacity": ", ".join(f"{s.nodes} {s.instance_type} ({s.serves})" for s in parameters.capacity.values()),
    }


def _flags() -> dict[str, Any]:
    flags: dict[str, Any] = json.loads(Path("cdk.json").read_text(encoding="utf-8"))["context"]
    return flags


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def _print_lines(lines: Any) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
