"""`paceline replay`: compute a step of a run again, from the nearest checkpoint, and compare every bit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paceline.cli.console import Output, OutputOption, print_json, progress_bars

if TYPE_CHECKING:
    from paceline.launch.replay import Plan


def replay(
    step: Annotated[str, typer.Argument(metavar="RUN@STEP", help="A run's directory and one of its steps.")],
    dataset: Annotated[Path | None, typer.Option(help="Where the run's dataset is now, if it was moved.")] = None,
    checkpoints: Annotated[
        str | None, typer.Option(help="Where the run's checkpoints are now, if they were moved.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Compute a step again and compare loss, gradient norm, ledger and state. Exit code 3 when a bit differs.

    Every step from the nearest checkpoint on is taken and compared, by as many ranks as before, on this machine.
    """
    import os

    from paceline.checkpoint.repository import CheckpointRepository
    from paceline.clients.object_store import open_store
    from paceline.data.manifest import read_manifest
    from paceline.journal.reader import read
    from paceline.launch.hermetic import read_parts, surroundings
    from paceline.launch.local.machine import check
    from paceline.launch.local.replay import replay as compute
    from paceline.launch.replay import plan
    from paceline.recipe.schema import Recipe
    from paceline.spec.errors import CheckpointError, DataError, ReplayError
    from paceline.spec.run import JOURNAL_DIRECTORY

    run, at, number = step.rpartition("@")
    if not at or not number.isdecimal():
        raise typer.BadParameter(f"{step}: write the run's directory, @ and a step: runs/debug-llama@30")
    directory = Path(run)
    parts = read_parts(directory)
    place = open_store(checkpoints or parts[-1].job.checkpoints, CheckpointError)
    chosen = plan(parts, read(directory / JOURNAL_DIRECTORY).events, CheckpointRepository(place), int(number))
    manifest = chosen.manifest
    check(Recipe.model_validate(manifest.job.recipe))
    data = open_store(str(dataset or manifest.job.dataset), DataError)
    if (found := read_manifest(data).dataset_sha256) != manifest.dataset_sha256:
        raise DataError(
            f"{data.uri}: is dataset {found}; the run was trained on {manifest.dataset_sha256}",
            "name the run's own with --dataset",
        )
    changed = list(manifest.surroundings.differences(surroundings(os.environ)))
    for line in changed:
        typer.echo(f"warning: not as it was: {line}", err=True)
    with progress_bars() as progress:
        replayed = compute(chosen, CheckpointRepository(place), data.uri, progress)
    difference = chosen.difference(replayed)
    _show(chosen, {"difference": None if difference is None else asdict(difference), "changed": changed}, output)
    if difference is not None:
        raise ReplayError(
            f"{run}: step {difference.step}: {difference.figure} is {difference.recorded} in the journal, and"
            f" {difference.replayed} now",
            f"it may be the surroundings, of which {len(changed)} changed; if none did, suspect the hardware of then"
            " or now",
        )


def _show(chosen: Plan, found: dict[str, Any], output: Output) -> None:
    figures = {number: known.figures() for number, known in chosen.recorded.items()}
    compared = {"run": chosen.manifest.job.run, "step": chosen.step, "from_checkpoint": chosen.start or None}
    world = chosen.nodes * chosen.manifest.job.workers_per_node
    counts = {"ranks": world, "steps": len(figures), "figures": sum(len(each) for each in figures.values())}
    if output is Output.JSON:
        print_json({**compared, **counts, "recorded": figures[chosen.step], **found})
    elif found["difference"] is None:
        begin = f"the checkpoint after step {chosen.start}" if chosen.start else "the seed"
        typer.echo(
            f"{chosen.manifest.job.run}: step {chosen.step}, computed again from {begin} on {world} ranks:"
            f" {counts['figures']} figures of {len(figures)} steps, every bit as in the journal"
        )
