"""`paceline recipe`: what is there to train, and where each of its values comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paceline.cli.console import Output, OutputOption, print_json, print_table

if TYPE_CHECKING:
    from paceline.recipe.load import Resolved, Value

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Recipes: what to train, and how.")

_RECIPE = "A shipped recipe, or the path of a recipe file."
Name = Annotated[str, typer.Argument(metavar="RECIPE", help=_RECIPE)]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value. May be repeated.")
]
Instance = Annotated[str | None, typer.Option("--on", metavar="INSTANCE", help="EC2 instance type, or cpu.")]
Nodes = Annotated[int | None, typer.Option(min=1, help="Choose the degrees of `parallelism: auto` for so many nodes.")]


@app.command("ls")
def ls(output: OutputOption = Output.TEXT) -> None:
    """List the recipes that ship with paceline."""
    from paceline.recipe.load import load, names

    rows = []
    for recipe in (load(name).recipe for name in names()):
        choice = f"{recipe.model.family} {recipe.model.preset}"
        facts = {"method": recipe.method, "model": choice, "sequence_length": recipe.data.sequence_length}
        rows.append({"name": recipe.name, "description": recipe.description, **facts})
    if output is Output.JSON:
        print_json(rows)
    else:
        print_table(("name", "description"), [(str(row["name"]), str(row["description"])) for row in rows])


@app.command("show")
def show(
    recipe: Name,
    overrides: Overrides = None,
    on: Instance = None,
    nodes: Nodes = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Each value with its origin.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print a recipe with its bases, overrides, its accelerator's values and defaults applied."""
    import yaml

    found = _load(recipe, overrides, on, nodes)
    whole = found.recipe.model_dump(mode="json")
    if resolved:
        _print_values(found.values(), output)
    elif output is Output.JSON:
        print_json(whole)
    else:
        typer.echo(yaml.safe_dump(whole, sort_keys=False), nl=False)


@app.command("diff")
def diff(
    left: Annotated[str, typer.Argument(metavar="RECIPE", help=_RECIPE)],
    right: Annotated[str, typer.Argument(metavar="OTHER", help="The recipe to compare it with.")],
    overrides: Overrides = None,
    on: Instance = None,
    nodes: Nodes = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print what two recipes do differently. Overrides and --on are for both."""
    from paceline.recipe.diff import differences

    found = differences(_load(left, overrides, on, nodes), _load(right, overrides, on, nodes))
    if output is Output.JSON:
        sides = [(d.path, d.left, d.right) for d in found]
        print_json([{"key": key, "left": a and _plain(a), "right": b and _plain(b)} for key, a, b in sides])
        return
    rows = [(d.path, *_cells(d.left), *_cells(d.right)) for d in found]
    print_table(("key", left, "origin", right, "origin"), rows)


@app.command("explain")
def explain(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[RECIPE] KEY", help="A value or a section, e.g. `schedule.steps`; in a recipe or in all."
        ),
    ],
    overrides: Overrides = None,
    on: Instance = None,
    nodes: Nodes = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say what a value means; in a RECIPE also what it is and where it comes from."""
    if len(words) > 2:
        raise typer.BadParameter("one KEY, or a RECIPE and a KEY")
    if len(words) == 2:
        _print_values(_load(words[0], overrides, on, nodes).explain(words[1]), output)
        return
    from paceline.recipe.fields import explain

    found = explain(words[0])
    if output is Output.JSON:
        print_json([{"key": f.path, "type": f.kind, "default": f.default, "meaning": f.meaning} for f in found])
    else:
        rows = [(f.path, f.kind, f.default or "must be given", f.meaning or "") for f in found]
        print_table(("key", "type", "default", "meaning"), rows)


def choice(on: str | None) -> list[str]:
    """The override that `--on` stands for."""
    return [] if on is None else ["accelerator=cpu" if on == "cpu" else f"instance={on}"]


def _load(recipe: str, overrides: list[str] | None, on: str | None, nodes: int | None) -> Resolved:
    """The recipe on that instance type; for that many nodes of it, if given."""
    from paceline.plan.auto import settle
    from paceline.recipe.load import load

    found = load(recipe, [*choice(on), *(overrides or ())])
    if nodes is None:
        return found
    return settle(found, nodes=nodes, processes_per_node=found.recipe.platform.processes_per_node or 1)


def _print_values(values: list[Value], output: Output) -> None:
    if output is Output.JSON:
        print_json([_plain(value) for value in values])
    else:
        rows = [(value.path, *_cells(value), value.meaning or "") for value in values]
        print_table(("key", "value", "origin", "meaning"), rows)


def _cells(value: Value | None) -> tuple[str, str]:
    """What it is, and where it comes from."""
    return ("", "") if value is None else (json.dumps(value.value), str(value.origin))


def _plain(value: Value) -> dict[str, Any]:
    return {"key": value.path, "value": value.value, "origin": str(value.origin), "meaning": value.meaning}
