"""`paceline data`: prepare a dataset, and prove afterwards what a run consumed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from paceline.cli.console import Output, OutputOption, print_json, progress_bars
from paceline.recipe.method import Method
from paceline.spec.errors import DataError
from paceline.spec.manifest import MANIFEST_NAME
from paceline.spec.run import RunRecord

app = typer.Typer(help="Prepare training data and prove what a run consumed.", no_args_is_help=True)


@app.command()
def prepare(
    directory: Annotated[Path, typer.Argument(help="Where to write the dataset.", metavar="DIRECTORY")],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]PLACE",
            help="Files or directories of .txt, .rst, .pod, .md, .jsonl or .parquet, perhaps with .gz: a path, file://"
            " or s3://. The documentation of this Python if not given.",
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weight", metavar="NAME=NUMBER", help="Share of a named source in every batch. Repeat for each."
        ),
    ] = None,
    vocabulary: Annotated[
        int | None, typer.Option(help="Largest number of tokens of the tokenizer; 2048 if it is trained here.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="A tokenizer.json, or the root of an imported model, instead of training one.")
    ] = None,
    end_of_text: Annotated[str | None, typer.Option(help="Its token that ends a document.")] = None,
    held_out: Annotated[
        float, typer.Option(min=0, max=0.99, help="Part of the documents to evaluate on and not to train on.")
    ] = 0.0,
    method: Annotated[
        Method,
        typer.Option(
            help="sft: .jsonl of {messages}; dpo, reward: of {prompt, chosen, rejected}; they need a --tokenizer."
        ),
    ] = "pretrain",
    sequence_length: Annotated[
        int, typer.Option(min=8, help="Tokens of a sequence that conversations are laid out in; the recipe's.")
    ] = 1024,
    chat_template: Annotated[
        str | None, typer.Option(help="A Jinja file, or `chatml`; that of the tokenizer's model if not given.")
    ] = None,
    text_field: Annotated[str, typer.Option(help="Key or column that holds the text.")] = "text",
    minimum_characters: Annotated[int, typer.Option(min=1, help="Leave shorter texts out.")] = 40,
    shard_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a shard.")] = 1 << 24,
    name: Annotated[str | None, typer.Option(help="Name of the dataset; that of the directory if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Decides the order of the documents.")] = 0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Tokenise text into a dataset; several named sources become a mixture. Or lay out conversations."""
    from paceline.cli.model_files import read_template, read_tokenizer
    from paceline.data.conversations import read_samples
    from paceline.data.prepare import VOCABULARY
    from paceline.data.prepare import prepare as prepare_dataset
    from paceline.data.prepare_samples import prepare_samples
    from paceline.data.sources import Sources

    plan = Sources.parse(sources or [], weights or [])
    text_tokenizer = read_tokenizer(tokenizer, end_of_text) if tokenizer else None
    with progress_bars() as progress:
        if method == "pretrain":
            manifest = prepare_dataset(
                plan.documents(field=text_field, minimum_characters=minimum_characters, progress=progress),
                name=name or directory.absolute().name,
                source=plan.description,
                output=directory,
                vocabulary=vocabulary or VOCABULARY,
                tokenizer=text_tokenizer,
                mixture=plan.mixture,
                held_out=held_out,
                shard_tokens=shard_tokens,
                seed=seed,
                progress=progress,
            )
        else:
            if tokenizer is None or text_tokenizer is None or not plan.places or plan.mixture:
                raise DataError(
                    f"--method {method}: needs --tokenizer and the place of .jsonl files, and knows no --weight",
                    "name the root of the model that will be trained: --tokenizer MODEL",
                )
            manifest = prepare_samples(
                [sample for place in plan.places.values() for sample in read_samples(place, method, progress=progress)],
                method=method,
                sequence_length=sequence_length,
                template=read_template(chat_template, tokenizer),
                tokenizer=text_tokenizer,
                name=name or directory.absolute().name,
                source=plan.description,
                output=directory,
                held_out=held_out,
                vocabulary=vocabulary or 0,
                seed=seed,
                progress=progress,
            )
    summary = manifest.model_dump(mode="json", exclude={"shards", "tokenizer", "held_out"})
    counts = {"shards": len(manifest.shards), "held_out_tokens": sum(shard.tokens for shard in manifest.held_out)}
    _print({**summary, **counts, "dataset_sha256": manifest.dataset_sha256}, output)


@app.command()
def verify(
    run: Annotated[Path, typer.Argument(help="Directory of the run.", metavar="RUN_DIR")],
    dataset: Annotated[Path | None, typer.Option(help="Where the run's dataset is now, if it was moved.")] = None,
    checkpoints: Annotated[
        str | None, typer.Option(help="Root of the run's checkpoints, if it is not in the run's directory.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Prove that a run consumed every sample of its steps, once and in order, and that its checkpoints say so."""
    from paceline.data.index import TokenDataset
    from paceline.data.verify import read_consumed, read_run, read_states, verify_run

    record = read_run(run)
    directory = dataset or _copy_of_dataset(run, record)
    tokens = TokenDataset.open(directory, sequence_length=record.sequence_length, verify=True)
    states = list(read_states(checkpoints or str(run / "checkpoints")))
    with progress_bars() as progress:
        report = verify_run(tokens, record, read_consumed(run), states, progress=progress)
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
