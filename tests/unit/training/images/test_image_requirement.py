"""Requirements of versions, of whatever form a maker gives them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.images.requirement import Requirement, numbers

VERSIONS = st.lists(st.integers(0, 999), min_size=1, max_size=5).map(lambda parts: ".".join(map(str, parts)))


@pytest.mark.parametrize(
    ("requirement", "version", "holds"),
    [
        ("neuron-runtime==2.32.*", "2.32.31.0-0234f5ed2", True),
        ("neuron-runtime==2.32.*", "2.3.2", False),
        ("cuda==13", "13.0", True),
        ("nvidia-driver>=580", "580.65.06", True),
        ("nvidia-driver>=580", "99.1", False),
        ("torch>=2.9,<2.16", "2.13.0+cu130", True),
        ("torch>=2.9,<2.16", "2.16", False),
        ("nccl", "anything", True),
        ("nccl>=2", "anything", False),
    ],
)
def test_versions_are_compared_by_their_leading_numbers(requirement: str, version: str, holds: bool) -> None:
    assert Requirement.parse(requirement).holds(version) is holds


@pytest.mark.parametrize("text", ["", "==2", "torch=2", "torch>=2.*", "torch>=", "torch>=2,", "torch >= 2", "torch<=2"])
def test_what_is_no_requirement_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a requirement"):
        Requirement.parse(text)


@given(VERSIONS, VERSIONS)
def test_of_two_versions_one_is_lower_or_both_are_the_same(one: str, other: str) -> None:
    at_least, below, same = (Requirement.parse(f"x{compare}{other}").holds(one) for compare in (">=", "<", "=="))

    assert at_least is not below
    assert same == (at_least and Requirement.parse(f"x>={one}").holds(other))


@given(VERSIONS)
def test_a_version_is_its_own_prefix(version: str) -> None:
    assert Requirement.parse(f"x=={version}.*").holds(f"{version}.7")
    assert numbers(f"{version}-abc") == numbers(version)
