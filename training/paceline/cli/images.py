"""`paceline images`: what the images are made of, and the digests and copies of what they stand on.

The images are not part of this package: they are built from its checkout, by `docker buildx bake`.
"""

from __future__ import annotations

from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paceline.cli.console import Output, OutputOption, print_json, print_table

if TYPE_CHECKING:
    from paceline.images.matrix import Image, Located, Matrix

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Images: versions, digests, copies.")

Bases = Annotated[list[str] | None, typer.Argument(metavar="BASE...", help="Only these bases of the matrix.")]

_UNKNOWN = "?"


@app.command("matrix")
def matrix(
    pinned: Annotated[
        bool, typer.Option("--pinned", help="Refuse a base without a digest, as a deployment does.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print what every image holds, after checking that it goes together. `?` stands for what no source says."""
    from paceline.images.lifetime import warnings
    from paceline.images.rules import check

    checked = check(_read(), pinned=pinned)
    for warning in warnings(checked, date.today()):
        typer.echo(f"warning: {warning}", err=True)
    if output is Output.JSON:
        print_json(checked.model_dump(mode="json"))
    else:
        lines = [line for name in checked.images for line in _lines(checked, name)]
        print_table(("image", "part", "version", "source"), lines)


@app.command("tags")
def tags(output: OutputOption = Output.TEXT) -> None:
    """Print the tag of every image: the same as long as nothing that it is built from changes."""
    from paceline.images.tags import tag

    located = _read()
    found = {name: tag(located, name) for name in located.matrix.images}
    if output is Output.JSON:
        print_json(found)
    else:
        print_table(("image", "tag"), list(found.items()))


@app.command("pin")
def pin(bases: Bases = None, output: OutputOption = Output.TEXT) -> None:
    """Ask the registries what the bases' tags lead to; write the digests to the matrix and the Dockerfiles."""
    from paceline.clients import registry
    from paceline.images.pin import chosen, resolve, write

    located = _read()
    pins = resolve(chosen(located, bases or ()), registry.digest)
    write(located, pins)
    if output is Output.JSON:
        print_json([{"base": p.key, "digest": p.digest, "changed": p.changed} for p in pins])
    else:
        lines = [(p.key, p.base.tag, p.digest, "changed" if p.changed else "as before") for p in pins]
        print_table(("base", "tag", "digest", "state"), lines)


@app.command("amis")
def amis(
    regions: Annotated[
        list[str] | None, typer.Argument(metavar="REGION...", help="Where; without any, where images are pinned now.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Ask AWS for the newest machine images of nodes, and pin them in stacks/parameters/amis.lock."""
    from paceline.clients import ec2, ssm
    from paceline.images.amis import channels, find, read, resolve, write
    from paceline.spec.amis import LOCK
    from paceline.spec.errors import ImageError

    path = _read().root / LOCK
    lock = read(path)
    names = regions or sorted(lock.regions)
    if not names:
        raise ImageError(f"{LOCK}: nothing is pinned yet, and no region is named", "write the regions of your teams")
    wanted = list(channels(date.today()))
    found = {}
    rows = []
    for number, region in enumerate(names, 1):
        typer.echo(f"{number}/{len(names)} {region}", err=True)
        parameters, machines = partial(ssm.parameters, ssm.client(region)), partial(ec2.images, ec2.client(region))
        found[region], missing = resolve(wanted, parameters, machines)
        for channel in missing:
            typer.echo(f"warning: {region}: AWS publishes no {channel.label} here", err=True)
        before = lock.regions.get(region)
        for channel in wanted:
            if (ami := find(found[region], channel)) is not None:
                same = before is not None and find(before, channel) == ami
                rows.append((region, channel.label, ami, "as before" if same else "changed"))
    write(path, lock.model_copy(update={"regions": lock.regions | found}))
    if output is Output.JSON:
        print_json([{"region": r, "image": i, **a.model_dump(mode="json"), "state": s} for r, i, a, s in rows])
    else:
        lines = [(r, i, a.id, a.release or a.name, str(a.created), s) for r, i, a, s in rows]
        print_table(("region", "image", "id", "release or name", "created", "state"), lines)


@app.command("mirror")
def mirror(
    to: Annotated[str, typer.Option(metavar="REGISTRY/PREFIX", help="Where to: the team's registry and prefix.")],
    bases: Bases = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Copy the bases by digest into repositories `base-<name>` of the team's own registry."""
    from dataclasses import asdict

    from paceline.clients import skopeo
    from paceline.images.mirror import plan
    from paceline.images.pin import chosen

    copies = plan(chosen(_read(), bases or ()), to.rstrip("/"))
    if not dry_run:
        for number, copy in enumerate(copies, 1):
            typer.echo(f"{number}/{len(copies)} {copy.key}", err=True)
            skopeo.copy(copy.source, copy.destination)
    if output is Output.JSON:
        print_json([asdict(copy) for copy in copies])
    else:
        print_table(("base", "from", "build with"), [(c.key, c.source, f"BASE={c.base}") for c in copies])


def _read() -> Located:
    from paceline.images.matrix import find, read

    return read(find(Path.cwd()))


def _lines(checked: Matrix, name: str) -> list[tuple[str, ...]]:
    image: Image = checked.images[name]
    base = checked.base_of(name)
    lines: list[tuple[str, ...]] = [(name, "base", base.reference, base.sources[0])]
    lines += [(name, key, part.version or _UNKNOWN, part.sources[0]) for key, part in image.contents.items()]
    for key, part in image.host.items():
        needed = f">={part.version}" if part.version else _UNKNOWN
        lines.append((name, f"{key} of the host", needed, part.sources[0]))
    return lines
