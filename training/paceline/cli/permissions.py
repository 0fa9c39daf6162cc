"""Writing the policies that deploying a team needs: `paceline team permissions`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from paceline.cli.checkout import Checkout
from paceline.cli.console import Output, print_json


def write(checkout: Checkout, team: str, to: Path | None, output: Output) -> None:
    """One file per policy in `to`, its path on stdout; what to do with them as talk. As JSON, nothing is written."""
    plan = checkout.read("permissions", team)
    if output is Output.JSON:
        print_json(plan)
        return
    folder = to or checkout.root / "runs" / "permissions" / team
    folder.mkdir(parents=True, exist_ok=True)
    for name, policy in plan["policies"].items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(policy, indent=2) + "\n", encoding="utf-8")
        typer.echo(path)
    _tell(plan, folder)


def _tell(plan: dict[str, Any], folder: Path) -> None:
    typer.echo(f"\nin {folder}, as an administrator of the account:", err=True)
    for command in plan["commands"]:
        typer.echo(f"  {command}", err=True)
    if plan["shared_with"]:
        others = ", ".join(plan["shared_with"])
        typer.echo(f"\nThe same role deploys {others}: name their policies in the last command too.", err=True)
