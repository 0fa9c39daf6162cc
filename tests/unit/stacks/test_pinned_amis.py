"""What `amis.lock` says reaches the nodes that need it, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from paceline.spec.errors import ParameterError
from stacks.settings import Team
from stacks.teams import read_teams

SHIPPED = Path(__file__).parents[3] / "stacks" / "parameters"
IDS = {kind: f"ami-{number:017x}" for number, kind in enumerate(("cpu", "nvidia", "nvidia-arm64", "neuron"))}
RELEASES = {"AL2023_x86_64_STANDARD": "1.35.6-20260728", "AL2023_x86_64_NVIDIA": "1.35.6-20260729"}


def ami(**said: str) -> dict[str, str]:
    return {"id": IDS["cpu"], "name": "an image", "description": "", "created": "2026-07-28", **said}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The shipped files, without images of Slurm nodes in them, and pins for two regions."""
    shutil.copytree(SHIPPED, tmp_path / "parameters")
    path = tmp_path / "parameters" / "speech.yaml"
    text = path.read_text(encoding="utf-8")
    images = yaml.safe_load(text)["slurm"].pop("images")
    for kind, image in images.items():
        text = text.replace(f"    {kind}: {image}\n", "")
    path.write_text(text.replace("  images:\n", ""), encoding="utf-8")
    extra = {"AL2023_ARM_64_NVIDIA": "1.35.6-20260728"}
    eks = {kind: ami(release=release) for kind, release in (RELEASES | extra).items()}
    pcs = {kind: ami(id=image) for kind, image in IDS.items()}
    lock(tmp_path / "parameters", {"us-east-1": {"eks": {"1.35": eks}}, "us-east-2": {"pcs": pcs}})
    return tmp_path / "parameters"


def lock(directory: Path, regions: object) -> None:
    (directory / "amis.lock").write_text(yaml.safe_dump({"regions": regions}), encoding="utf-8")


def team(directory: Path, name: str) -> Team:
    return next(team for team in read_teams(directory) if team.name == name)


def test_nodes_of_slurm_take_the_images_of_their_region_and_kind(directory: Path) -> None:
    slurm = team(directory, "speech").parameters.slurm
    assert slurm is not None
    assert slurm.images == {kind: IDS[kind] for kind in ("cpu", "nvidia", "neuron")}


def test_node_groups_of_eks_take_the_releases_of_their_version(directory: Path) -> None:
    eks = team(directory, "vision").parameters.eks
    assert eks is not None
    assert eks.releases == RELEASES


def test_what_a_team_names_stays(directory: Path) -> None:
    path = directory / "vision.yaml"
    own = '  version: "1.35"\n  releases: {AL2023_x86_64_NVIDIA: 1.34.9-20260101}\n'
    path.write_text(path.read_text(encoding="utf-8").replace('  version: "1.35"\n', own), encoding="utf-8")
    eks = team(directory, "vision").parameters.eks
    assert eks is not None
    assert eks.releases == RELEASES | {"AL2023_x86_64_NVIDIA": "1.34.9-20260101"}


def test_a_node_of_slurm_without_an_image_is_refused_with_the_command_that_finds_one(directory: Path) -> None:
    lock(directory, {"us-east-2": {"pcs": {"cpu": ami()}}})
    with pytest.raises(ParameterError) as caught:
        read_teams(directory)
    cures = {problem.message.rpartition(": ")[2]: problem.hint for problem in caught.value.problems}
    assert cures["no image for p4d.24xlarge of a100"].startswith("run `paceline images amis us-east-2`")
    assert cures["no image for trn2.48xlarge of trainium"].startswith("AWS keeps none: build one")


def test_a_broken_lock_is_told_with_its_line(directory: Path) -> None:
    lock(directory, {"us-east-1": {"pcs": {"cpu": ami(id="latest")}}})
    with pytest.raises(ParameterError, match=r"amis.lock:\d+: regions.us-east-1.pcs.cpu.id"):
        read_teams(directory)
