"""What `paceline team` runs: `python -m stacks.commands VERB ...` from the root of the repository.

The command line of the runtime may not import the infrastructure; it starts this and passes text and exit code on.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paceline.spec.deployment import Deployment
from paceline.spec.documents import Document, nearest, read
from paceline.spec.errors import EXIT_OK, EXIT_USER_ERROR, PacelineError, ParameterError
from stacks.settings import Team
from stacks.teams import read_teams
from stacks.validators.capacity import untimely

if TYPE_CHECKING:
    from stacks.change.baseline import Baseline

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
    from stacks.change.diff import difference
    from stacks.change.sentences import sentences

    team = _one(read_teams(PARAMETERS), given.name)
    found = difference(team, _baseline(team, given), flags=_flags())
    if given.json:
        _print_json(found.plain())
    else:
        _print_lines(sentences(found))
    return EXIT_USER_ERROR if found.refused else EXIT_OK


def permissions(given: argparse.Namespace) -> int:
    """The policies that CloudFormation's role needs for a team, and the commands that give them to it."""
    from stacks.change.templates import synthesize
    from stacks.permissions.bootstrap import bootstrap

    teams = read_teams(PARAMETERS)
    team = _one(teams, given.name)
    _print_json(asdict(bootstrap(team, synthesize(team, _flags()), teams)))
    return EXIT_OK


def accounts(given: argparse.Namespace) -> int:
    """The script that makes the accounting database of a team's Slurm cluster say what its file says."""
    from paceline_constructs.slurm.accounts import Account, account_commands

    team = _one(read_teams(PARAMETERS), given.name)
    slurm = team.parameters.slurm
    if slurm is None or not slurm.accounts:
        raise ParameterError(f"{team.name}: has no Slurm accounts", "describe them in `slurm.accounts`")
    found = {
        name: Account(people=account.people, nodes=account.nodes, weight=account.weight)
        for name, account in slurm.accounts.items()
    }
    if given.json:
        _print_json({name: asdict(account) for name, account in found.items()})
    else:
        sys.stdout.write(account_commands(team.name, found))
    return EXIT_OK


def teardown_plan(given: argparse.Namespace) -> int:
    """The steps of taking a team down, in order: of what is deployed, or without that of what the file says."""
    from stacks.change.teardown import plan, refuse_protected
    from stacks.change.templates import synthesize

    team = _one(read_teams(PARAMETERS), given.name)
    deployment = _deployment(given.deployment) if given.deployment else None
    refuse_protected(team, deployment)  # before the slow part
    found = plan(team, synthesize(team, _flags()), deployment)
    home = {"account": team.parameters.location.account, "region": team.parameters.location.region}
    _print_json({"team": team.name, **home, **asdict(found)})
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stacks.commands")
    verbs = parser.add_subparsers(required=True)
    takes_one = (show, diff, permissions, accounts, teardown_plan)
    for command, name in ((validate, "?"), (ls, None), *((verb, "one") for verb in takes_one)):
        verb = verbs.add_parser(command.__name__.replace("_", "-"))
        verb.set_defaults(command=command)
        verb.add_argument("--json", action="store_true")
        if name is not None:
            verb.add_argument("name", nargs="?" if name == "?" else None)
        if command is diff:
            verb.add_argument("--against", default="HEAD")
        if command in (diff, teardown_plan):
            verb.add_argument("--deployment", type=Path, help="what is deployed: a Deployment as JSON")
    return parser


def _baseline(team: Team, given: argparse.Namespace) -> Baseline:
    from stacks.change import baseline

    if given.deployment is not None:
        return baseline.of_deployment(_deployment(given.deployment))
    if given.against.endswith(".yaml"):
        return baseline.of_file(Path(given.against), PARAMETERS)
    return baseline.of_commit(team.name, given.against, PARAMETERS)


def _deployment(file: Path) -> Deployment:
    return Deployment.model_validate_json(file.read_bytes())


def _one(teams: Sequence[Team], name: str) -> Team:
    from stacks.change.baseline import is_committed

    by_name = {team.name: team for team in teams}
    if name in by_name:
        return by_name[name]
    file = PARAMETERS / f"{name}.yaml"
    hint = nearest(name, list(by_name))
    if is_committed(name, PARAMETERS):
        hint = f"its stacks are where they were: `git checkout HEAD -- {file}`, then `paceline team teardown {name}`"
    raise ParameterError(f"{name}: no such team: {file} is missing", hint)


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
    # as other filters end when their reader leaves, or on Ctrl-C: at once, without a traceback
    for ending in (signal.SIGPIPE, signal.SIGINT):
        signal.signal(ending, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))
