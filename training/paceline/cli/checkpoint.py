"""`paceline checkpoint`: what is durable, and whether every byte of it is what was saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from paceline.cli.console import Output, OutputOption, print_json, print_table

if TYPE_CHECKING:
    from paceline.checkpoint.repository import CheckpointRepository

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Durable checkpoints.")

Root = Annotated[str, typer.Argument(metavar="ROOT", help="Where a run keeps its checkpoints: a directory or s3://.")]


@app.command("ls")
def ls(root: Root, output: OutputOption = Output.TEXT) -> None:
    """List the committed checkpoints under ROOT, newest first."""
    repository = _repository(root)
    manifests = [repository.manifest(step) for step in repository.steps()]
    if output is Output.JSON:
        print_json([manifest.model_dump(mode="json") for manifest in manifests])
        return
    rows = [
        (
            str(manifest.step),
            manifest.created.isoformat(timespec="seconds"),
            manifest.run,
            str(manifest.world_size),
            f"{sum(file.bytes for file in manifest.files):,}",
        )
        for manifest in manifests
    ]
    print_table(("step", "created", "run", "ranks", "bytes"), rows)


@app.command("verify")
def verify(
    root: Root,
    step: Annotated[int | None, typer.Option(help="The checkpoint after this step; the newest if not given.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Read a checkpoint and compare every file with the hash in its manifest."""
    from paceline.spec.errors import CheckpointError

    repository = _repository(root)
    steps = repository.steps()
    if not steps:
        raise CheckpointError(f"{root}: no checkpoint here", "give the root that the run was started with")
    manifest = repository.verify(step if step is not None else steps[0])
    total = sum(file.bytes for file in manifest.files)
    if output is Output.JSON:
        print_json({"step": manifest.step, "files": len(manifest.files), "bytes": total, "verified": True})
    else:
        typer.echo(f"step {manifest.step}: {len(manifest.files)} files, {total:,} bytes, every hash as in the manifest")


def _repository(root: str) -> CheckpointRepository:
    from paceline.checkpoint.repository import CheckpointRepository
    from paceline.clients.object_store import open_store
    from paceline.spec.errors import CheckpointError

    return CheckpointRepository(open_store(root, CheckpointError))
