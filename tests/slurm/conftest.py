"""One Slurm cluster for all tests of a session, and runs on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.conftest import dataset  # noqa: F401
from tests.slurm.cluster import Cluster
from tests.slurm.cluster import cluster as make_cluster
from tests.slurm.run import Run
from tools.images.debian import UnavailableError

_NODES = 6


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    try:
        with make_cluster(_NODES) as made:
            yield made
    except UnavailableError as error:
        pytest.skip(f"no Slurm cluster: {error}")


@pytest.fixture
def start(cluster: Cluster, dataset: Path, tmp_path: Path) -> Iterator[Callable[..., Run]]:  # noqa: F811
    """Start `paceline run --on slurm` with so many nodes and spares. Afterwards every node is idle again."""
    started: list[Run] = []

    def run(nodes: int, spares: int, *more: str, **environment: str) -> Run:
        started.append(Run(cluster, dataset, tmp_path, nodes, spares, more, environment))
        return started[-1]

    yield run
    for one in started:
        one.end()
    cluster.restore()
