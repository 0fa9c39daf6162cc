"""`paceline data`: prepare a dataset, and prove afterwards what a run consumed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from paceline.cli.console import Output, OutputOption, print_json, progress_bars
from paceline.spec.errors import DataError
from paceline.spec.manifest import MANIFEST_NAME
from paceline.spec.run import RunRecord

app = typer.Typer(help="Prepare training data and prove what a run consumed.", no_args_is_help=True)


@app.command()
def prepare(
    directory: Annotated[Path, typer.Argument(help="Where to write the dataset.", metavar="DIRECTORY")],
    vocabulary: Annotated[int, typer.Option(help="Largest number of tokens of the tokenizer.")] = 2048,
    name: Annotated[str, typer.Option(help="Name of the dataset.")] = "python-documentation",
    seed: Annotated[int, typer.Option(help="Decides the order of the documents.")] = 0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Tokenise the documentation that comes with this Python into a dataset."""
    import platform

    from paceline.data.corpus import interpreter_documentation
    from paceline.data.prepare import prepare as prepare_dataset

    with progress_bars() as progress:
        progress("read the documentation", 0, 1)
        documents = list(interpreter_documentation())
        progress("read the documentation", 1, 1)
        manifest = prepare_dataset(
            documents,
            name=name,
            source=f"documentation of {platform.python_implementation()} {platform.python_version()}",
            output=directory,
            vocabulary=vocabulary,
            seed=seed,
            progress=progress,
        )
    summary = manifest.model_dump(mode="json", exclude={"shards", "tokenizer"})
    _print({**summary, "shards": len(manifest.shards), "dataset_sha256": manifest.dataset_sha256}, output)


@app.command()
def verify(
    run: Annotated[Path, typer.Argument(help="Directory of the run.", metavar="RUN_DIR")],
    dataset: Annotated[Path | None, typer.Option(help="Where the run's dataset is now, if it was moved.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Prove that a run consumed every sample of its steps, once and in order."""
    from paceline.data.index import TokenDataset
    from paceline.data.verify import read_consumed, read_run, verify_run

    record = read_run(run)
    directory = dataset or _copy_of_dataset(run, record)
    tokens = TokenDataset.open(directory, sequence_length=record.sequence_length, verify=True)
    with progress_bars() as progress:
        report = verify_run(tokens, record, read_consumed(run), progress=progress)
    _print(asdict(report), output)
    if report.difference is not None:
        raise DataError(
            f"{run}: step {report.different_step}: {report.difference}",
            "do not trust what the run learned from this step on; resume from a checkpoint before it",
        )


def _copy_of_dataset(run: Path, record: RunRecord) -> Path:
    """The run's dataset on this machine: where it was read from, or what a node of the run had fetched."""
    parts = urlsplit(record.dataset)
    if parts.scheme in ("", "file"):
        return run / parts.path
    for manifest in sorted(run.glob(f"nodes/*/data/{MANIFEST_NAME}")):
        return manifest.parent
    raise DataError(f"{run}: its dataset {record.dataset} is not on this machine", "name a copy with --dataset")


def _print(values: dict[str, Any], output: Output) -> None:
    if output is Output.JSON:
        print_json(values)
        return
    width = max(len(key) for key in values)
    for key, value in values.items():
        if value is not None:
            typer.echo(f"{key.replace('_', ' '):<{width}}  {value}")
