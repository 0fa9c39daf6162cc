"""`paceline checkpoint`: what is durable, whether every byte of it is what was saved, and its way in and out."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paceline.cli.console import Output, OutputOption, print_json, print_table, progress_bars

if TYPE_CHECKING:
    from paceline.checkpoint.convert import Progress
    from paceline.checkpoint.repository import CheckpointRepository
    from paceline.spec.manifest import CheckpointManifest

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Durable checkpoints.")

GIBIBYTE = 2**30


class WeightType(StrEnum):
    """In which type to write weights."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


Root = Annotated[str, typer.Argument(metavar="ROOT", help="Where a run keeps its checkpoints: a directory or s3://.")]

Source = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE",
        help="A Hugging Face directory, a GGUF file, or a tag of NeuronX Distributed or of DeepSpeed with config.json.",
    ),
]
Dtype = Annotated[
    WeightType | None, typer.Option(help="The type of the weights; what an imported model had, or float32.")
]
MaxFileGib = Annotated[float, typer.Option(min=1e-6, help="Split the weights into files of at most this size.")]


@app.command("ls")
def ls(root: Root, output: OutputOption = Output.TEXT) -> None:
    """List the committed checkpoints under ROOT, newest first. One whose manifest cannot be read is told on stderr."""
    from paceline.spec.errors import CheckpointError

    repository = _repository(root)
    manifests = []
    for step in repository.steps():
        try:
            manifests.append(repository.manifest(step))
        except CheckpointError as error:
            typer.echo(f"warning: {error.problems[0].message}", err=True)
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
    every: Annotated[bool, typer.Option("--all", help="Every checkpoint, newest first.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Read checkpoints and compare every file with the hash in their manifests. Exit code 1 when one is damaged."""
    from paceline.spec.errors import CheckpointError

    if every and step is not None:
        raise typer.BadParameter("give a step, or --all")
    repository = _repository(root)
    newest = _newest(repository, root)
    steps = repository.steps() if every else [newest if step is None else step]
    results: list[dict[str, object]] = []
    damaged: list[CheckpointError] = []
    with progress_bars() as progress:
        for number, each in enumerate(steps):
            progress("verify checkpoints", number, len(steps))
            try:
                manifest = repository.verify(each)
            except CheckpointError as error:
                damaged.append(error)
                results.append({"step": each, "verified": False, "reason": error.problems[0].message})
            else:
                total = sum(file.bytes for file in manifest.files)
                results.append({"step": each, "files": len(manifest.files), "bytes": total, "verified": True})
        progress("verify checkpoints", len(steps), len(steps))
    if output is Output.JSON:
        print_json(results if every else results[0])
    else:
        for result in results:
            if result["verified"]:
                sizes = f"{result['files']} files, {result['bytes']:,} bytes"
                typer.echo(f"step {result['step']}: {sizes}, every hash as in the manifest")
            else:
                typer.echo(f"step {result['step']}: damaged")
    if damaged:
        raise CheckpointError.of([problem for error in damaged for problem in error.problems])


@app.command("prune")
def prune(
    root: Root,
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest checkpoints to keep.")],
    every_hours: Annotated[
        float | None, typer.Option(min=0.0, help="Of the older ones, keep one of every so many hours.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Remove old checkpoints, after the newest one was verified.

    Not while a run writes to ROOT: it prunes by itself, as `checkpoint.keep` says.
    """
    repository = _repository(root)
    newest = repository.verify(_newest(repository, root)).step
    work = repository.overtaken if dry_run else repository.prune
    removed = work(keep, newest=newest, every_hours=every_hours)
    if output is Output.JSON:
        kept = [step for step in repository.steps() if step not in removed]
        print_json({"removed": removed, "kept": kept, "dry_run": dry_run})
    else:
        verb = "would remove" if dry_run else "removed"
        typer.echo(f"{verb} {len(removed)} checkpoints" + "".join(f"\n  step {step}" for step in removed))


@app.command("import")
def import_(
    source: Source,
    root: Annotated[str, typer.Argument(metavar="ROOT", help="Where to keep it: a directory or s3://.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Make a model a checkpoint, for recipes to start from with `model.weights`."""
    repository = _repository(root)
    with progress_bars() as progress:
        manifest = _import(source, repository, progress)
    if output is Output.JSON:
        print_json(manifest.model_dump(mode="json"))
    else:
        total = sum(file.bytes for file in manifest.files)
        typer.echo(f"{repository.uri(manifest.step)}: {len(manifest.files)} files, {total:,} bytes")


@app.command("export")
def export(
    root: Root,
    directory: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", help="The Hugging Face directory, or tag, to make.")
    ],
    step: Annotated[int | None, typer.Option(help="The checkpoint after this step; the newest if not given.")] = None,
    dtype: Dtype = None,
    max_file_gib: MaxFileGib = 5.0,
    zero: Annotated[
        int | None,
        typer.Option(min=1, max=3, help="A universal checkpoint of DeepSpeed instead, for this stage of its ZeRO."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write a checkpoint's model as Hugging Face keeps it, or model and optimizer as DeepSpeed loads them."""
    from paceline.checkpoint.convert import export_model

    if zero is not None and dtype is not None:
        raise typer.BadParameter("a universal checkpoint is float32: give --dtype or --zero")
    repository = _repository(root)
    manifest = repository.manifest(_newest(repository, root) if step is None else step)
    if zero is not None:
        from paceline.checkpoint import deepspeed_files

        with progress_bars() as progress:
            deepspeed_files.export(repository, manifest, directory, zero=zero, progress=progress)
        _show_files({"step": manifest.step}, directory, output)
        return
    with progress_bars() as progress:
        export_model(
            repository,
            manifest,
            directory,
            dtype=dtype.value if dtype else None,
            largest_file=int(max_file_gib * GIBIBYTE),
            progress=progress,
        )
    _show_files({"step": manifest.step}, directory, output)


@app.command("convert")
def convert(
    source: Source,
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="The Hugging Face directory to make.")],
    dtype: Dtype = None,
    max_file_gib: MaxFileGib = 5.0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write a model once more as Hugging Face keeps it: out of GGUF, in another type, or in files of another size.

    What `import` and `export` do, by way of the temporary directory (TMPDIR).
    """
    import tempfile

    from paceline.checkpoint.convert import export_model

    with progress_bars() as progress, tempfile.TemporaryDirectory(prefix="paceline-convert-") as scratch:
        repository = _repository(scratch)
        export_model(
            repository,
            _import(source, repository, progress),
            directory,
            dtype=dtype.value if dtype else None,
            largest_file=int(max_file_gib * GIBIBYTE),
            progress=progress,
        )
    _show_files({}, directory, output)


def _import(source: Path, repository: CheckpointRepository, progress: Progress) -> CheckpointManifest:
    """Commit the model in `source`, a Hugging Face directory or what can be written as one, as step 0."""
    import tempfile

    from paceline.checkpoint.convert import import_model

    convert_to = _converter(source)
    if convert_to is None:
        return import_model(source, repository, progress=progress)
    with tempfile.TemporaryDirectory(prefix="paceline-import-") as scratch:
        directory = Path(scratch) / source.stem
        directory.mkdir()
        convert_to(source, directory, largest_file=5 * GIBIBYTE, progress=progress)
        return import_model(directory, repository, progress=progress)


def _converter(source: Path) -> Callable[..., None] | None:
    """What writes `source` as a Hugging Face directory, if it is none."""
    if source.suffix == ".gguf":
        from paceline.checkpoint import gguf

        return gguf.convert
    if (source / "checkpoint").is_file():
        from paceline.checkpoint import neuron_files

        return neuron_files.convert
    if (source / "zero").is_dir() or any(source.glob("*_optim_states.pt")):  # universal, or as ranks have left it
        from paceline.checkpoint import deepspeed_files

        return deepspeed_files.convert
    return None


def _show_files(said: dict[str, object], directory: Path, output: Output) -> None:
    found = sorted(path for path in directory.rglob("*") if path.is_file())
    files = {str(path.relative_to(directory)): path.stat().st_size for path in found}
    if output is Output.JSON:
        print_json({**said, "directory": str(directory), "files": files})
    else:
        print_table(("file", "bytes"), [(name, f"{size:,}") for name, size in files.items()])


def _newest(repository: CheckpointRepository, root: str) -> int:
    from paceline.spec.errors import CheckpointError

    steps = repository.steps()
    if not steps:
        raise CheckpointError(f"{root}: no checkpoint here", "give the root that the run was started with")
    return steps[0]


def _repository(root: str) -> CheckpointRepository:
    from paceline.checkpoint.repository import CheckpointRepository
    from paceline.clients.object_store import open_store
    from paceline.spec.errors import CheckpointError

    return CheckpointRepository(open_store(root, CheckpointError))
