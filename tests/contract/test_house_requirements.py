"""The pins: exact, hashed, one set of versions, and nothing that breaks jsii or comes from a wrong place."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FILES = ("requirements.txt", "requirements-dev.txt")
PINNED = (*FILES, "requirements-deepspeed.txt")


def pins(name: str) -> set[tuple[str, str, frozenset[str]]]:
    """(requirement, marker, hashes) of every entry of a requirements file."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    entries = set()
    for line in text.splitlines():
        requirement, _, marker = line.split(" --hash=")[0].partition(";")
        entries.add((requirement.strip(), marker.strip(), frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", line))))
    return entries


@pytest.mark.parametrize("name", PINNED)
def test_every_entry_is_exact_and_hashed(name: str) -> None:
    assert pins(name)
    for requirement, _, hashes in pins(name):
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+", requirement)
        assert hashes


def test_a_checkout_has_all_that_a_deployment_has() -> None:
    deploy, checkout = ({requirement: entry[1:] for requirement, *entry in pins(name)} for name in FILES)

    assert {requirement: checkout.get(requirement) for requirement in deploy} == deploy


@pytest.mark.parametrize("name", PINNED)
def test_no_index_is_written_down(name: str) -> None:
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", (ROOT / name).read_text())


def test_deepspeed_is_the_one_of_the_image() -> None:
    versions = tomllib.loads((ROOT / "images" / "versions.toml").read_text())["images"]["gpu"]["contents"]

    assert f"deepspeed=={versions['deepspeed']['version']}" in {pin for pin, *_ in pins("requirements-deepspeed.txt")}


def test_typeguard_is_what_jsii_wants() -> None:
    assert "typeguard==2.13.3" in {requirement for requirement, *_ in pins("requirements-dev.txt")}


def test_torch_comes_from_set_up_alone() -> None:
    names = {requirement.split("==")[0] for requirement, *_ in pins("requirements-dev.txt")}

    assert not names & {"torch", "triton", "torch-xla", "tyro", "mosaicml-streaming", "torchtitan"}
    assert not {name for name in names if name.startswith(("neuron", "nki", "libneuron", "torch-neuron", "nvidia-"))}


def test_the_lock_file_of_the_cdk_names_no_host() -> None:
    assert '"resolved"' not in (ROOT / "package-lock.json").read_text()
