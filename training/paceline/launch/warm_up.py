"""Compile the graphs of a run before it begins, with the same options, and keep them for the runs that follow.

All nodes of the run take a few steps under `neuron_parallel_compile`, which collects the graphs and compiles them side
by side into one cache in the run's directory. From there they go to the place of graphs (graphs/store.py), from where
every node brings them to its own disk.

Source: aws-neuron-sdk, frameworks/torch/torch-neuronx/api-reference-guide/training/pytorch-neuron-parallel-compile.rst.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from paceline.clients.object_store import open_store
from paceline.graphs.key import installed, key_of, made_from
from paceline.graphs.store import GraphStore
from paceline.journal.writer import Journal
from paceline.launch.job import JOB_NAME, free_port
from paceline.spec.errors import GraphError
from paceline.spec.events import GraphsCompiled
from paceline.spec.job import JobSpec
from paceline.spec.names import ENV_COMPILE_CACHE

TOOL = "neuron_parallel_compile"
LOG_NAME = "warm-up.log"
_CACHES = "graphs"
_POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """What every node of the run runs, its number in a variable of the environment, and what is in this beside what
    the launcher has."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]


Start = Callable[[Command], Sequence["subprocess.Popen[bytes]"]]


def command(job: JobSpec, directory: Path, cache: Path, *, port: int, variable: str) -> Command:
    """The warm-up of `job`, whose run is in `directory`, into `cache`. Pure.

    Each node finds its number in `variable`: SLURM_NODEID on Slurm. The recipe, the world and the other variables are
    those of the run: another option would be another graph.
    """
    trial = (sys.executable, "-m", "paceline.launch.trial", str(directory / JOB_NAME))
    return Command(
        arguments=(TOOL, *trial, job.coordinator_host, str(port), variable),
        environment={**job.environment, ENV_COMPILE_CACHE: str(cache)},
    )


def compile_ahead(
    job: JobSpec,
    directory: Path,
    *,
    variable: str,
    start: Start,
    stopping: Callable[[], bool],
    say: Callable[[str], None],
) -> bool:
    """Have the graphs of `job` where it looks for them: nothing is done when they are there, or none are wanted.

    False when `stopping` ended it before. `start` runs the command once on each node. Raises GraphError when there is
    no compiler here, or the graphs could not be collected or compiled.
    """
    if job.graphs is None:
        return True
    ingredients = made_from(job, os.environ | job.environment, installed())
    key = key_of(ingredients)
    store = GraphStore(open_store(job.graphs, GraphError), key)
    if store.manifest() is not None:
        return True
    cache, log, started = directory.absolute() / _CACHES / key, directory / LOG_NAME, time.monotonic()
    wanted = command(job, directory, cache, port=free_port(), variable=variable)
    say(f"compiling the graphs of this run ahead, see {log}; others will find them at {store.uri}")
    try:
        if cache.exists():  # an earlier warm-up was cut short: its graphs are good, its locks are nobody's
            with log.open("ab") as said:
                environment = {**os.environ, **wanted.environment}
                subprocess.run(
                    [TOOL, "--command", "clear-locks"], env=environment, stdout=said, stderr=said, check=False
                )
        cache.mkdir(parents=True, exist_ok=True)
        processes = start(wanted)
    except FileNotFoundError as cause:
        raise GraphError(
            f"platform.compile_ahead: there is no {cause.filename}", "run in the image trainium, or set it to false"
        ) from cause
    try:
        if not _ended(processes, stopping):
            return False
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # also what a tool that failed has left behind
            process.wait()
    codes = [process.returncode for process in processes if process.returncode]
    if codes:
        raise GraphError(f"run {job.run}: the warm-up of its graphs ended with code {codes[0]}", f"see {log}")
    manifest = store.upload(cache, ingredients)
    with closing(Journal(Path(job.journal), run=job.run, producer="launcher")) as journal:
        journal.emit(
            GraphsCompiled,
            uri=store.uri,
            graphs=len(manifest.modules),
            bytes=manifest.bytes,
            seconds=time.monotonic() - started,
        )
    return True


def _ended(processes: Sequence[subprocess.Popen[bytes]], stopping: Callable[[], bool]) -> bool:
    """Wait until all have ended, or one has failed; False if they were to stop before."""
    while any(process.poll() is None for process in processes) and not any(process.poll() for process in processes):
        if stopping():
            return False
        time.sleep(_POLL_SECONDS)
    return True
