"""`paceline team`: the files in stacks/parameters, and what deploying or taking down one of them does.

The infrastructure is not part of this package: it is run from its checkout, in this interpreter's environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from paceline.cli.console import Output, OutputOption, print_json, print_table
from paceline.spec.errors import DeployError, PacelineError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Teams: what is deployed for whom.")

Name = Annotated[str, typer.Argument(metavar="TEAM", help="A file of stacks/parameters, without its ending.")]


@app.command("ls")
def ls(output: OutputOption = Output.TEXT) -> None:
    """List the teams."""
    _pass_on("ls", output)


@app.command("show")
def show(team: Name, output: OutputOption = Output.TEXT) -> None:
    """Print a team's parameters, with the platform's values and the defaults applied."""
    _pass_on("show", output, team)


@app.command("validate")
def validate(
    team: Annotated[str | None, typer.Argument(metavar="TEAM", help="The team; all of them if not given.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Validate every team.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check the teams' files against the catalog, each other and today's date."""
    if every and team is not None:
        raise PacelineError("validate: a team and --all were given", "give one of the two")
    _pass_on("validate", output, *([team] if team else []))


@app.command("diff")
def diff(
    team: Name,
    against: Annotated[
        str, typer.Option(metavar="REVISION|FILE", help="A git revision, or another team file (.yaml).")
    ] = "HEAD",
    output: OutputOption = Output.TEXT,
) -> None:
    """Say what deploying a team's file changes live, drains, replaces and takes; exit code 1 if it is refused."""
    _pass_on("diff", output, team, "--against", _absolute(against))


@app.command("permissions")
def permissions(
    team: Name,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Where; runs/permissions/TEAM if not given.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write the IAM policies that CloudFormation needs to deploy a team, and say how an account gets them."""
    checkout = _checkout()
    plan = json.loads(_run(checkout, ["permissions", team, "--json"], capture=True))
    if output is Output.JSON:
        print_json(plan)
        return
    folder = to or checkout / "runs" / "permissions" / team
    folder.mkdir(parents=True, exist_ok=True)
    for name, policy in plan["policies"].items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(policy, indent=2) + "\n", encoding="utf-8")
        typer.echo(path)
    typer.echo("\n".join(["", f"in {folder}, as an administrator of the account:", *plan["commands"]]), err=True)
    if plan["shared_with"]:
        others = ", ".join(plan["shared_with"])
        typer.echo(f"\nThe same role deploys {others}: name their policies in the last command too.", err=True)


@app.command("teardown")
def teardown(
    team: Name,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Take a team down in the order that leaves nothing behind. Deletes all that it holds."""
    checkout = _checkout()
    plan = json.loads(_run(checkout, ["teardown-plan", team, "--json"], capture=True))
    if output is Output.JSON:
        print_json(plan)
    else:
        steps = [(str(n), step["title"], step["why"]) for n, step in enumerate(plan["steps"], 1)]
        print_table(("step", "what", "why"), steps)
    if dry_run:
        return
    _confirm(plan, yes)
    _destroy(checkout, team)


def _confirm(plan: dict[str, Any], yes: bool) -> None:
    """Ask whether what CloudFormation cannot do is done, then for the team's name."""
    if yes:
        return
    for step in plan["steps"]:
        if step["command"] is not None:
            typer.echo(f"\n{step['title']}:\n  {step['command']}", err=True)
            typer.confirm("done?", abort=True, err=True)
    question = f"delete every stack of {plan['team']} in {plan['account']}, {plan['region']}; type the team's name"
    if typer.prompt(question, err=True) != plan["team"]:
        raise PacelineError("teardown: another name was typed", "nothing was deleted")


def _destroy(checkout: Path, team: str) -> None:
    from paceline.local.cdk import Cdk, Progress

    def show_progress(progress: Progress) -> None:
        if not progress.done:
            typer.echo(f"{progress.stack}: {progress.state}", err=True)

    log = checkout / "runs" / "teardown" / f"{team}.log"
    Cdk(checkout, environment=os.environ, log=log, on_progress=show_progress).destroy(f"{team}/*")


def _pass_on(verb: str, output: Output, *arguments: str) -> None:
    _run(_checkout(), [verb, *arguments, *(["--json"] if output is Output.JSON else [])])


def _run(checkout: Path, arguments: list[str], *, capture: bool = False) -> str:
    """Run one command of the infrastructure; its refusals are on stderr already, and its exit code is passed on."""
    from paceline.local.cdk import node_binary

    done = subprocess.run(
        [sys.executable, "-m", "stacks.commands", *arguments],
        cwd=checkout,
        env=os.environ | {"JSII_NODE": str(node_binary())},
        stdout=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )
    if done.returncode:
        raise typer.Exit(done.returncode)
    return done.stdout or ""


def _checkout() -> Path:
    """The root of the repository that the working directory lies in."""
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / "stacks" / "commands.py").is_file():
            return directory
    raise DeployError(
        f"{here}: not inside a checkout: there is no stacks/commands.py here or above",
        "the infrastructure is not part of the package: clone the repository and run this in it",
    )


def _absolute(against: str) -> str:
    return str(Path(against).absolute()) if against.endswith(".yaml") else against
