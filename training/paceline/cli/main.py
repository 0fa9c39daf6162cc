"""The command line: `paceline NOUN VERB`. One file per noun; a new noun is one line at the end of this one.

Exit codes: 0 ok, 1 user error, 2 usage, 3 the cluster says no, 4 time-out, 130 interrupted. Modules of nouns import
the rooms that they use inside their commands, so that the command line starts at once.
"""

from __future__ import annotations

import errno
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import paceline
from paceline.cli import catalog, chaos, checkpoint, data, heal, images, node, recipe, slurm, team
from paceline.cli.agent import agent
from paceline.cli.console import print_error
from paceline.cli.controller import controller
from paceline.cli.demo import demo
from paceline.cli.plan import plan
from paceline.cli.profile import profile
from paceline.cli.replay import replay
from paceline.cli.report import report
from paceline.cli.run import run
from paceline.cli.simulate import simulate
from paceline.spec.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR, PacelineError


class _Root(TyperGroup):
    """Turns what a user can cure into a message and an exit code, whichever command it comes from."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except PacelineError as error:
            if ctx.params["debug"]:
                traceback.print_exc()
            print_error(error)
            raise typer.Exit(error.exit_code) from error
        except OSError as cause:  # a full disk, a missing permission: wherever it shows, a person can cure it
            if cause.errno == errno.EPIPE:
                raise  # who read our output has left
            if ctx.params["debug"]:
                traceback.print_exc()
            place = f"{cause.filename}: " if cause.filename else ""
            print_error(PacelineError(f"{place}{cause.strerror or cause}", "mend that, and run the command again"))
            raise typer.Exit(EXIT_USER_ERROR) from cause
        except KeyboardInterrupt as interrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from interrupt


app = typer.Typer(
    cls=_Root, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"paceline {paceline.__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A HyperPod that you own."""


def main() -> None:
    """The entry point of the `paceline` script."""
    app(prog_name="paceline")


app.command()(demo)
app.command()(run)
app.command()(report)
app.command()(replay)
app.command()(controller)
app.command()(simulate)
app.command()(agent)
app.command()(profile)
app.command()(plan)
app.add_typer(catalog.app, name="catalog")
app.add_typer(recipe.app, name="recipe")
app.add_typer(data.app, name="data")
app.add_typer(checkpoint.app, name="checkpoint")
app.add_typer(chaos.app, name="chaos")
app.add_typer(team.app, name="team")
app.add_typer(images.app, name="images")
app.add_typer(heal.app, name="heal")
app.add_typer(node.app, name="node")
app.add_typer(slurm.app, name="slurm")
