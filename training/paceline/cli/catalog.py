"""`paceline catalog`: the facts that paceline builds on, where they come from, and whether they are still true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from paceline.cli.console import Output, OutputOption, print_json, print_table
from paceline.spec.errors import EXIT_USER_ERROR

if TYPE_CHECKING:
    from paceline.catalog.instance_types import InstanceType, Layout
    from paceline.spec.health import Action, Fault

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What is known about instance types and faults.")

_UNKNOWN = "?"


@app.command("ls")
def ls(output: OutputOption = Output.TEXT) -> None:
    """List the instance types. `?` stands for what no source says."""
    from paceline.catalog.instance_types import instance_types

    rows = list(instance_types().values())
    if output is Output.JSON:
        print_json([row.model_dump(mode="json", exclude_unset=True) for row in rows])
        return
    columns = ("type", "accelerators", "GiB each", "TFLOPS each", "EFA", "Gbit/s", "layouts")
    print_table(columns, [_line(row) for row in rows])


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="TYPE", help="An instance type, e.g. p5en.48xlarge.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Print all facts about an instance type, its sources, and its network interfaces card by card."""
    import yaml

    from paceline.catalog.instance_types import instance_type, sources

    row = instance_type(name)
    facts = row.model_dump(mode="json", exclude_unset=True)
    facts["layouts"] = {key: _interfaces(layout) for key, layout in (row.layouts or {}).items()} or None
    facts["sources"] = {key: sources()[key] for key in row.sources}
    if output is Output.JSON:
        print_json(facts)
    else:
        typer.echo(yaml.safe_dump(facts, sort_keys=False, width=120), nl=False)


@app.command("verify")
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="TYPE...", help="Only these types.")] = None,
    region: Annotated[str | None, typer.Option(help="Region to ask; without it that of the environment.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Compare with what EC2 says (DescribeInstanceTypes). Exits with 1 when something differs."""
    from paceline.catalog.instance_types import instance_type, instance_types
    from paceline.catalog.verify import differences
    from paceline.clients import ec2

    rows = [instance_type(name) for name in names] if names else list(instance_types().values())
    described = ec2.instance_types(ec2.client(region), [row.instance_type for row in rows])
    found = [
        d for row in rows if row.instance_type in described for d in differences(row, described[row.instance_type])
    ]
    absent = [row.instance_type for row in rows if row.instance_type not in described]
    if output is Output.JSON:
        print_json({"differences": [d.model_dump(mode="json") for d in found], "not_in_region": absent})
    else:
        if found:
            lines = [(d.instance_type, d.fact, _shown(d.catalog), _shown(d.ec2)) for d in found]
            print_table(("type", "fact", "catalog", "EC2"), lines)
        typer.echo(f"{len(described)} types compared, {len(found)} differences", err=True)
        if absent:
            typer.echo(f"not in the region: {', '.join(absent)}", err=True)
    if found:
        raise typer.Exit(EXIT_USER_ERROR)


@app.command("faults")
def faults(
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="Only this fault, e.g. nvidia.xid.79.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List the faults and what is done about each, or print all that is known about one. `-`: the maker says nothing,
    so it is counted and shown."""
    import yaml

    from paceline.catalog.faults import fault
    from paceline.catalog.faults import faults as rows

    if code is not None:
        row = fault(code)
        known = _fault(row)
        if output is Output.JSON:
            print_json(known)
        else:
            typer.echo(yaml.safe_dump(known, sort_keys=False, width=120), nl=False)
        return
    if output is Output.JSON:
        print_json([_fault(row) for row in rows().values()])
        return
    lines = [
        (row.code, row.fault_class, _named(row.action) or "-", _named(row.escalation) or "-", row.description)
        for row in rows().values()
    ]
    print_table(("fault", "class", "action", "then", "description"), lines)


def _fault(row: Fault) -> dict[str, Any]:
    known = row.model_dump(mode="json")
    return {**known, "action": _named(row.action), "escalation": _named(row.escalation)}


def _named(action: Action | None) -> str | None:
    return action.name.lower() if action is not None else None


def _line(row: InstanceType) -> tuple[str, ...]:
    return (
        row.instance_type,
        f"{_shown(row.accelerator_count)} x {row.accelerator}",
        _shown(row.memory_gib_per_accelerator),
        _shown(row.bf16_dense_tflops),
        _shown(row.max_efa_interfaces),
        _shown(row.network_gbps),
        ", ".join(row.layouts or ()) or _UNKNOWN,
    )


def _interfaces(layout: Layout) -> dict[str, Any]:
    return {
        "private_ips": layout.min_private_ips,
        "interfaces": [interface.model_dump(mode="json") for interface in layout.interfaces],
    }


def _shown(value: Any) -> str:
    if value is None:
        return _UNKNOWN
    return f"{value:g}" if isinstance(value, float) else str(value)
