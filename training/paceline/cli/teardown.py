"""What `paceline team teardown` does: shows the plan, asks, and deletes what is deployed. Run again, it goes on."""

from __future__ import annotations

import os
from typing import Any

import typer

from paceline.cli.checkout import Checkout, handed_over
from paceline.cli.console import Output, print_json, print_table
from paceline.spec.deployment import Deployment
from paceline.spec.errors import DeployError, PacelineError


def show(checkout: Checkout, team: str, output: Output, deployment: Deployment | None = None) -> dict[str, Any]:
    """Print the plan of what is deployed, or without that of what the file says."""
    if deployment is None:
        plan: dict[str, Any] = checkout.read("teardown-plan", team)
    else:
        with handed_over(deployment) as file:
            plan = checkout.read("teardown-plan", team, "--deployment", file)
    if output is Output.JSON:
        print_json(plan)
        return plan
    steps = [(str(n), step["by"], step["title"], step["why"]) for n, step in enumerate(plan["steps"], 1)]
    print_table(("step", "by", "what", "why"), steps)
    if plan["kept"]:
        typer.echo("\nWhat stays, and goes on to cost money until you end it:")
        print_table(
            ("what", "costs", "command"),
            [(kept["what"], kept["costs"], kept["command"] or "") for kept in plan["kept"]],
        )
    return plan


def ask(plan: dict[str, Any]) -> None:
    """Ask whether what is out of reach is done, then for the team's name."""
    for step in plan["steps"]:
        if step["by"] == "you":
            typer.echo(f"\n{step['title']} (paceline cannot reach it):\n  {step['command']}", err=True)
            typer.confirm("done?", abort=True, err=True)
    question = f"delete every stack of {plan['team']} in {plan['account']}, {plan['region']}; type the team's name"
    if typer.prompt(question, err=True) != plan["team"]:
        raise PacelineError("teardown: another name was typed", "nothing was deleted")


def delete(checkout: Checkout, deployment: Deployment) -> None:
    """Empty the buckets, delete what keeps the VPC, then the stacks. DeployError when a stack is left."""
    try:
        _empty_buckets(deployment)
        _delete_interfaces(deployment)
        _destroy(checkout, deployment.team)
    except KeyboardInterrupt:
        typer.echo("AWS goes on with the stack it has begun; run the command again to go on with the others", err=True)
        raise
    if left := [f"{stack.name} ({stack.status})" for stack in checkout.deployment(deployment.team).stacks]:
        raise DeployError(f"still there: {', '.join(left)}", "run the command again; what is gone is skipped")
    typer.echo(f"{deployment.team}: every stack is deleted", err=True)


def _empty_buckets(deployment: Deployment) -> None:
    from paceline.clients import aws, buckets

    s3 = aws.client("s3", deployment.region)
    for stack in deployment.stacks:
        for bucket in stack.of_type("AWS::S3::Bucket"):
            for gone in buckets.empty(s3, bucket):
                typer.echo(f"{bucket}: {gone} objects and versions deleted", err=True)


def _delete_interfaces(deployment: Deployment) -> None:
    from paceline.clients import ec2

    client = ec2.client(deployment.region)
    for stack in deployment.stacks:
        for vpc in stack.of_type("AWS::EC2::VPC"):
            for interface in ec2.leftover_interfaces(client, vpc):
                ec2.delete_interface(client, interface)
                typer.echo(f"{interface}: deleted", err=True)


def _destroy(checkout: Checkout, team: str) -> None:
    from paceline.local.cdk import Cdk, Progress

    def show_progress(progress: Progress) -> None:
        if not progress.done:
            typer.echo(f"{progress.stack}: {progress.state}", err=True)

    log = checkout.root / "runs" / "teardown" / f"{team}.log"
    Cdk(checkout.root, environment=os.environ, log=log, on_progress=show_progress).destroy(f"{team}/*")
