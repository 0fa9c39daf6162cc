"""What `amis.lock` says of a team's nodes: the images that its own file does not name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paceline.catalog.instance_types import InstanceType, instance_types
from paceline.catalog.slurm import image_kind
from paceline.catalog.versions import eks_image_type, system_image_type
from paceline.spec.amis import LOCK, AmiLock
from paceline.spec.documents import read, validate
from paceline.spec.errors import ParameterError
from stacks.settings import Parameters


def read_lock(directory: Path) -> AmiLock:
    """The lock of the parameters in `directory`; without it nothing is pinned. ParameterError for a broken one."""
    path = directory / LOCK.name
    return validate(AmiLock, read(path, ParameterError, name=str(LOCK)), ParameterError) if path.exists() else AmiLock()


def pinned(parameters: Parameters, lock: AmiLock) -> Parameters:
    """`parameters` with the pinned images of their region, where the team needs one and names none."""
    region = lock.regions.get(parameters.location.region)
    if region is None:
        return parameters
    update: dict[str, Any] = {}
    if (eks := parameters.eks) is not None:
        types = {eks_image_type(row.family, row.cpu_arch or "x86_64") for row in _types(parameters, "eks")}
        types.add(system_image_type(eks.system_nodes.instance_type))
        found = {key: ami.release for key, ami in region.eks.get(eks.version, {}).items() if key in types}
        update["eks"] = eks.model_copy(update={"releases": found | eks.releases})
    if (slurm := parameters.slurm) is not None:
        kinds = {"cpu", *(image_kind(row) for row in _types(parameters, "slurm"))}
        ids = {kind: ami.id for kind, ami in region.pcs.items() if kind in kinds}
        update["slurm"] = slurm.model_copy(update={"images": ids | slurm.images})
    return parameters.model_copy(update=update)


def _types(parameters: Parameters, serves: str) -> list[InstanceType]:
    """The accelerator types of that orchestrator that the catalog knows; others are reported on their own."""
    names = [source.instance_type for source in parameters.capacity.values() if source.serves == serves]
    return [row for name in names if (row := instance_types().get(name))]
