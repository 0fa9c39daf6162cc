"""`paceline team`: the files in stacks/parameters, and what deploying or taking down one of them does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paceline.cli.console import Output, OutputOption
from paceline.spec.errors import PacelineError

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
        str,
        typer.Option(
            metavar="REVISION|FILE|deployed",
            help="A git revision, another team file (.yaml), or what is deployed (needs AWS credentials).",
        ),
    ] = "HEAD",
    output: OutputOption = Output.TEXT,
) -> None:
    """Say what deploying a team's file changes live, drains, replaces and takes; exit code 1 if it is refused."""
    from paceline.cli.checkout import Checkout, handed_over

    if against != "deployed":
        _pass_on("diff", output, team, "--against", _absolute(against))
        return
    deployment = Checkout().deployment(team)
    with handed_over(deployment) as file:
        _pass_on("diff", output, team, "--deployment", file)


@app.command("permissions")
def permissions(
    team: Name,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Where; runs/permissions/TEAM if not given.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write the IAM policies that CloudFormation needs to deploy a team, and say how an account gets them."""
    from paceline.cli import permissions as policies
    from paceline.cli.checkout import Checkout

    policies.write(Checkout(), team, to, output)


@app.command("accounts")
def accounts(team: Name, output: OutputOption = Output.TEXT) -> None:
    """Print the commands that give a team's people their accounts, QOS and shares on its Slurm cluster."""
    _pass_on("accounts", output, team)


@app.command("teardown")
def teardown(
    team: Name,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan of what the file says, without an account, and stop.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, and take what is out of reach as done.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Take a team down in the order that leaves nothing behind. Deletes all that it holds; run again, it goes on."""
    from paceline.cli import teardown as steps
    from paceline.cli.checkout import Checkout

    checkout = Checkout()
    if dry_run:
        steps.show(checkout, team, output)
        return
    deployment = checkout.deployment(team)
    if not deployment.stacks:
        typer.echo(f"{team}: nothing is deployed in account {deployment.account}, {deployment.region}", err=True)
        return
    plan = steps.show(checkout, team, output, deployment)
    if not yes:
        steps.ask(plan)
    steps.delete(checkout, deployment)


def _pass_on(verb: str, output: Output, *arguments: str) -> None:
    from paceline.cli.checkout import Checkout

    Checkout().run(verb, *arguments, *(["--json"] if output is Output.JSON else []))


def _absolute(against: str) -> str:
    return str(Path(against).absolute()) if against.endswith(".yaml") else against
