"""What a node brings to its own disk before its workers begin: the dataset, and graphs that were compiled ahead."""

from __future__ import annotations

import os
import time
from pathlib import Path

from paceline.clients.object_store import open_store
from paceline.data.transfer import fetch
from paceline.graphs.key import installed, key_of, made_from
from paceline.graphs.store import GraphStore
from paceline.journal.writer import Journal
from paceline.spec.errors import DataError, GraphError
from paceline.spec.events import GraphsFetched
from paceline.spec.job import JobSpec
from paceline.spec.names import ENV_COMPILE_CACHE

DATA = "data"
_GRAPHS = "graphs"


def variables(job: JobSpec, directory: Path) -> dict[str, str]:
    """What the workers of a node with this `directory` see of it in their environment."""
    return {} if job.graphs is None else {ENV_COMPILE_CACHE: str(directory.absolute() / _GRAPHS)}


def bring(job: JobSpec, directory: Path, journal: Journal) -> None:
    """Everything that `job` needs into `directory`, every hash checked; DataError or GraphError when it is not so."""
    fetch(open_store(job.dataset, DataError), directory / DATA)
    if job.graphs is None:
        return
    started = time.perf_counter()
    store = GraphStore(open_store(job.graphs, GraphError), key_of(made_from(job, os.environ, installed())))
    manifest = store.fetch(directory / _GRAPHS)
    journal.emit(
        GraphsFetched,
        uri=store.uri,
        graphs=len(manifest.modules),
        bytes=manifest.bytes,
        seconds=time.perf_counter() - started,
    )
