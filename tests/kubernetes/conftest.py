"""The two servers, and a world of five nodes on each: one trains with the sick one, three are idle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.clusters import Cluster, in_memory
from tests.kubernetes.real import Real, real
from tools.images.debian import UnavailableError


@pytest.fixture(scope="session")
def real_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    try:
        with real(tmp_path_factory.mktemp("kubernetes")) as made:
            yield made
    except UnavailableError as reason:
        pytest.skip(f"no Kubernetes: {reason}")


@pytest.fixture(params=["double", pytest.param("real", marks=pytest.mark.kubernetes)])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    if request.param == "real":
        yield request.getfixturevalue("real_cluster")
        return
    with in_memory(tmp_path) as made:
        yield made
