"""`paceline node`: whether this node is fit to train."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paceline.cli.console import Output, OutputOption, print_json, print_table
from paceline.spec.errors import PacelineError
from paceline.spec.health import Finding, Result, Stage
from paceline.spec.names import ENV_MATRIX, ENV_NODE

if TYPE_CHECKING:
    from paceline.health.base import Check, Node, Probe

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Whether this node is fit to train.")

# The exit codes of monitoring plugins (nagios-plugins.org, development guidelines), which Slurm's HealthCheckProgram
# and the like understand.
_OK, _WARNING, _CRITICAL, _UNKNOWN = 0, 1, 2, 3
_WORDS = {_OK: "OK", _WARNING: "WARNING", _CRITICAL: "CRITICAL", _UNKNOWN: "UNKNOWN"}

InstanceTypeOption = Annotated[
    str | None,
    typer.Option("--instance-type", metavar="TYPE", help="What this node is; without it, what its firmware says."),
]
SharedOption = Annotated[
    list[str] | None, typer.Option("--shared", metavar="PATH", help="A shared file system that must be mounted.")
]
EfaOption = Annotated[int | None, typer.Option("--efa", min=0, help="EFA devices, if not those of the catalog.")]
DriverOption = Annotated[str | None, typer.Option("--driver", metavar="VERSION", help="The driver it should run.")]
MatrixOption = Annotated[
    Path | None,
    typer.Option(
        "--matrix", metavar="FILE", envvar=ENV_MATRIX, help="What the images need: the driver must not be older."
    ),
]
ImageOption = Annotated[str | None, typer.Option("--image", metavar="AMI", help="The machine image it should run.")]
RootOption = Annotated[Path, typer.Option("--root", help="Where the host's file system is, seen from here.")]
NameOption = Annotated[
    str | None,
    typer.Option("--node", metavar="NAME", envvar=ENV_NODE, help="Its name; without it the host name."),
]


@app.command("check")
def check(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Only these checks.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the checks, and do nothing.")] = False,
    stage: Annotated[Stage, typer.Option("--stage", help="The checks of this stage.")] = Stage.PROLOG,
    instance_type: InstanceTypeOption = None,
    shared: SharedOption = None,
    efa: EfaOption = None,
    driver: DriverOption = None,
    matrix: MatrixOption = None,
    image: ImageOption = None,
    root: RootOption = Path("/"),
    node: NameOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check this node. Exits with 0 (ok), 1 (warning), 2 (critical: it should not train) or 3 (unknown).

    Checks of hardware that the node should not have are not run. `idle`, `deep` and the like need the node for
    themselves.
    """
    from paceline.health.probe import HostProbe
    from paceline.health.registry import check_type, plan

    if listed:
        _list(output)
        return
    probe = HostProbe(root)
    said = {"shared": tuple(shared or ()), "driver": driver, "image": image}
    try:
        kinds = [check_type(name) for name in names or []]
        here = this_node(probe, node, instance_type, efa=efa, matrix=matrix, **said)
    except PacelineError as error:  # to a monitor a 1 would be a warning about the node
        typer.echo(error.render(), err=True)
        raise typer.Exit(_UNKNOWN) from error
    checks = [kind() for kind in kinds] if kinds else plan(stage, here)
    findings = asyncio.run(_examine(checks, probe, here))
    if output is Output.JSON:
        print_json([finding.model_dump(mode="json", exclude_none=True) for finding in findings])
    else:
        for finding in findings:
            typer.echo(_line(finding))
    raise typer.Exit(_exit_code(findings))


def this_node(
    probe: Probe, name: str | None, instance_type: str | None, *, efa: int | None, matrix: Path | None, **said: object
) -> Node:
    """What this node should be: the catalog's word for its type, what the images of `matrix` need of its driver, and
    what the user said about it."""
    from paceline.health.base import Node
    from paceline.health.identity import instance_type_here, node_name_here

    if efa is not None:
        said["efa"] = efa
    here = Node.of(name or node_name_here(), instance_type or instance_type_here(probe), **said)
    if matrix is None or here.family is None:
        return here
    from paceline.images.matrix import read
    from paceline.images.rules import driver_floor

    floor = driver_floor(read(matrix).matrix, f"{here.family}-driver")
    return here.model_copy(update={"driver_floor": floor})


async def _examine(checks: list[Check], probe: Probe, node: Node) -> list[Finding]:
    from paceline.health.examine import examine

    findings = []
    for check in checks:
        if check.cost >= 10:
            typer.echo(f"{check.name()}: takes about {check.cost / 60:.0f} min", err=True)
        findings += await examine(check, probe, node)
    return findings


def _exit_code(findings: list[Finding]) -> int:
    from paceline.health.standing import worst

    result, action = worst(findings)
    if result is Result.FAIL:
        return _CRITICAL if action.takes_node else _WARNING
    return _UNKNOWN if result is Result.UNKNOWN else _OK


def _line(finding: Finding) -> str:
    word = _WORDS[_exit_code([finding])]
    if finding.result is Result.PASS:
        return f"{word} {finding.check}"
    device = finding.device
    where = f" {device.kind} {device.index if device.index is not None else device.serial or ''}" if device else ""
    return f"{word} {finding.check}:{where.rstrip()} {finding.fault or ''} {finding.evidence}".replace("  ", " ")


def _list(output: Output) -> None:
    from paceline.catalog.checks import found_percent
    from paceline.health.registry import check_types

    if output is Output.JSON:
        rows = [
            {
                "name": name,
                "finds": kind.finds,
                "stages": sorted(kind.stages),
                "seconds": kind.cost,
                "found_percent": found_percent(name),
            }
            for name, kind in check_types().items()
        ]
        print_json(rows)
        return
    lines = [
        (name, f"{kind.cost:g}", ", ".join(sorted(kind.stages)), kind.finds) for name, kind in check_types().items()
    ]
    print_table(("check", "seconds", "stages", "finds"), lines)
