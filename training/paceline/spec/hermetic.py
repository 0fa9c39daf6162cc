"""The hermetic manifest: all that a run's bits depend on, written before its first process starts.

A run has one for each of its parts: what was started again may stand on other code. Part of a run is what its
generations from `job.first_generation` on did.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pydantic import Field

from paceline.spec.base import Record
from paceline.spec.job import JobSpec
from paceline.spec.manifest import FileRecord

MANIFEST_DIRECTORY = "manifests"

# Variables that can change what is computed, or with what; by the beginning of their names.
NUMERIC_VARIABLES = (
    "ATEN_",
    "CUBLAS_",
    "CUDA_",
    "FI_",
    "GLOO_",
    "KMP_",
    "MKL_",
    "NCCL_",
    "NEURON_",
    "NVTE_",
    "NXD_",
    "OMP_",
    "ONEDNN_",
    "PYTORCH_",
    "THP_",
    "TORCH",
    "TRITON_",
    "XLA_",
)


class Software(Record):
    """What computes. `packages` are all that is installed, by name."""

    paceline: str
    source_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="over every file of the package paceline")
    commit: str | None = Field(description="of the checkout, with -dirty when files differ from it; null outside one")
    python: str
    packages: dict[str, str]


class Machine(Record):
    """On what. Kernels are chosen by the processor, so another one may round otherwise."""

    system: str
    architecture: str
    processor: str | None
    libc: str


class Surroundings(Record):
    """What a run stands on beside what it was told. `environment` has the NUMERIC_VARIABLES."""

    software: Software
    machine: Machine
    environment: dict[str, str]

    def differences(self, now: Surroundings) -> Iterator[str]:
        """What is another `now`, each as `what: then -> now`."""
        then, later = self.model_dump(), now.model_dump()
        for section in ("software", "machine"):
            for name, value in then[section].items():
                if name != "packages" and value != later[section][name]:
                    yield f"{name}: {_shown(value)} -> {_shown(later[section][name])}"
        packages, installed = self.software.packages, now.software.packages
        for name in sorted(packages.keys() | installed.keys()):
            if packages.get(name) != installed.get(name):
                yield f"{name}: {packages.get(name, 'none')} -> {installed.get(name, 'none')}"


class HermeticManifest(Record):
    """One part of a run. With the files of its dataset, and of its base, it can be computed again."""

    format_version: int = 1
    created: datetime
    job: JobSpec
    dataset_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    dataset_files: tuple[FileRecord, ...]
    surroundings: Surroundings


def manifest_name(first_generation: int) -> str:
    """Of the part that begins with this generation, in the MANIFEST_DIRECTORY of its run."""
    return f"generation-{first_generation:08d}.json"


def _shown(value: str | None) -> str:
    return "none" if value is None else value[:12] if len(value) == 64 else value
