"""What tests share that is dear to make: an engine and a base for images, a real model; or why there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.smollm2 import weights
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


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """SmolLM2-135M, imported: the root of a model."""
    pytest.importorskip("gguf", reason="the reader of GGUF is not installed")
    root = tmp_path_factory.mktemp("smollm2") / "model"
    command = "from paceline.cli.main import main; main()"
    arguments = [sys.executable, "-c", command, "checkpoint", "import", str(weights()), str(root)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    yield root
    shutil.rmtree(root)  # half a gigabyte
