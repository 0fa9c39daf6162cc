"""What the tests of images share: an engine and a base, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.images import base
from tools.images.build import ROOT, Built, Order, build
from tools.images.debian import UnavailableError
from tools.images.engine import Docker, engine
from tools.images.lent import Lent, lent

STATE = ROOT / ".engine"


@dataclass(frozen=True, kw_only=True, slots=True)
class Builder:
    """Builds images on a base made on the spot; `scratch` is there as long as it is."""

    docker: Docker
    base: str
    lent: Lent
    scratch: Path

    def build(self, order: Order) -> Built:
        """`paceline/<name>:dev`; DockerError with the end of the log if it fails."""
        return build(self.docker, order, self.lent, self.scratch)


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    scratch = tmp_path_factory.mktemp("builder")
    try:
        with engine(STATE) as docker:
            made = base.make(docker, STATE)
            yield Builder(docker=docker, base=made, lent=lent(scratch), scratch=scratch)
    except UnavailableError as reason:
        pytest.skip(f"no image can be built here: {reason}")
