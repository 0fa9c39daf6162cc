"""`paceline recipe`: what is there to train, and where each of its values comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paceline.cli.console import Output, OutputOption, print_json, print_table

if TYPE_CHECKING:
    from paceline.recipe.load import Value

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Recipes: what to train, and how.")

Name = Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe, or the path of a recipe file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value. May be repeated.")
]


@app.command("ls")
def ls(output: OutputOption = Output.TEXT) -> None:
    """List the recipes that ship with paceline."""
    from paceline.recipe.load import load, names

    recipes = [load(name).recipe for name in names()]
    if output is Output.JSON:
        print_json([{"name": recipe.name, "description": recipe.description} for recipe in recipes])
    else:
        print_table(("name", "description"), [(recipe.name, recipe.description) for recipe in recipes])


@app.command("show")
def show(
    recipe: Name,
    overrides: Overrides = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Each value with its origin.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print a recipe with its bases, overrides and defaults applied."""
    import yaml

    from paceline.recipe.load import load

    found = load(recipe, overrides or ())
    whole = found.recipe.model_dump(mode="json")
    if resolved:
        _print_values(found.values(), output)
    elif output is Output.JSON:
        print_json(whole)
    else:
        typer.echo(yaml.safe_dump(whole, sort_keys=False), nl=False)


@app.command("explain")
def explain(
    recipe: Name,
    key: Annotated[str, typer.Argument(help="A value or a section, e.g. `schedule.steps` or `schedule`.")],
    overrides: Overrides = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say what a value is, where it comes from and what it means."""
    from paceline.recipe.load import load

    _print_values(load(recipe, overrides or ()).explain(key), output)


def _print_values(values: list[Value], output: Output) -> None:
    if output is Output.JSON:
        print_json([_plain(value) for value in values])
    else:
        rows = [(value.path, json.dumps(value.value), str(value.origin), value.meaning or "") for value in values]
        print_table(("key", "value", "origin", "meaning"), rows)


def _plain(value: Value) -> dict[str, Any]:
    return {"key": value.path, "value": value.value, "origin": str(value.origin), "meaning": value.meaning}
