"""Capacity that is right stays; what is wrong is planted, a rule each, in tests/contract/faults/capacity.yaml."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from paceline.catalog.instance_types import instance_type
from paceline.catalog.network import prefix_for, usable_addresses
from paceline.catalog.purchases import block_rules
from paceline.spec.documents import Document
from stacks.settings import Parameters, Team
from stacks.settings.capacity import CapacitySource
from stacks.validators.addresses import addresses_per_node
from stacks.validators.capacity import problems, untimely

PARAMETERS = Path(__file__).parents[3] / "stacks" / "parameters"
RESERVATION = {"reservation": "cr-0123456789abcdef0", "instances": 4}
FORTNIGHT = {"starts": "2026-12-01T11:30:00Z", "ends": "2026-12-15T11:30:00Z"}


def team(**sources: dict[str, Any]) -> tuple[Team, Document]:
    """A team with those sources, and the document that it was read from."""
    data = yaml.safe_load((PARAMETERS / "sandbox.yaml").read_text(encoding="utf-8"))
    shared = yaml.safe_load((PARAMETERS / "platform.yaml").read_text(encoding="utf-8"))
    data["location"] |= shared["location"]
    data["network"] |= shared["network"]
    data["registry"] = shared["registry"]
    common = {"serves": "eks", "instance_type": "p5en.48xlarge", "zone": "use1-az1", "nodes": 4}
    data["capacity"] = {name: common | source for name, source in sources.items()}
    return Team(name="vision", parameters=Parameters.model_validate(data)), Document(data=data)


def said(**sources: dict[str, Any]) -> list[str]:
    return [problem.message for problem in problems(*team(**sources))]


@pytest.mark.parametrize(
    "source",
    [
        {"purchase": {"kind": "on-demand"}, "min_nodes": 4, "spares": 3},
        {"purchase": {"kind": "spot"}, "serves": "slurm"},
        {"purchase": {"kind": "odcr", "ends": "2027-03-01T12:00:00Z"}},
        {"purchase": {"kind": "odcr-attached", **RESERVATION, "placement_group": "theirs"}},
        {"purchase": {"kind": "odcr-interruptible", **RESERVATION}, "serves": "slurm"},
        {"purchase": {"kind": "capacity-block", **RESERVATION, **FORTNIGHT}},
        {
            "purchase": {"kind": "training-plan", "arn": "arn:aws:sagemaker:us-east-1:123456789012:training-plan/a"}
            | {"instances": 4, "ends": "2026-12-15T11:30:00Z"},
            "serves": "hyperpod",
        },
        {"purchase": {"kind": "on-demand"}, "instance_type": "p6-b200.48xlarge", "layout": "max_ip_bandwidth"},
    ],
    ids=lambda source: source["purchase"]["kind"],
)
def test_every_way_to_buy_can_be_right(source: dict[str, Any]) -> None:
    assert said(pool=source) == []


@given(days=st.integers(1, 182))
def test_a_block_lasts_as_long_as_blocks_are_sold(days: int) -> None:
    starts = datetime(2026, 12, 1, 11, 30, tzinfo=UTC)
    times = {"starts": starts.isoformat(), "ends": (starts + timedelta(days=days)).isoformat()}
    messages = said(block={"purchase": {"kind": "capacity-block", **RESERVATION, **times}})
    assert (messages == []) == (days in block_rules().duration.days)


@given(early=st.timedeltas(timedelta(minutes=1), timedelta(hours=23)))
def test_a_block_that_starts_at_once_is_shorter_than_its_days(early: timedelta) -> None:
    starts = datetime(2026, 12, 1, 11, 30, tzinfo=UTC) + early
    times = {"starts": starts.isoformat(), "ends": "2026-12-15T11:30:00Z"}
    assert said(block={"purchase": {"kind": "capacity-block", **RESERVATION, **times}}) == []


def test_a_block_that_was_extended_ends_when_it_likes() -> None:
    times = {"starts": "2026-12-01T11:30:00Z", "ends": "2026-12-18T15:00:00Z", "extended": True}
    assert said(block={"purchase": {"kind": "capacity-block", **RESERVATION, **times}}) == []


def test_a_reservation_may_be_shared_while_it_is_large_enough() -> None:
    half = {"purchase": {"kind": "odcr-attached", **RESERVATION}, "nodes": 2}
    assert said(one=half, other=half | {"serves": "slurm"}) == []


def test_what_is_over_is_refused_by_those_who_look_today_only() -> None:
    past = team(block={"purchase": {"kind": "capacity-block", **RESERVATION, **FORTNIGHT}})
    assert list(problems(*past)) == []
    assert list(untimely(*past, datetime(2026, 12, 15, 11, 29, tzinfo=UTC))) == []
    [problem] = untimely(*past, datetime(2026, 12, 15, 11, 30, tzinfo=UTC))
    assert "capacity.block.purchase.ends: ended at 2026-12-15 11:30 UTC" in problem.message


@pytest.mark.parametrize(
    ("serves", "name", "addresses"),
    [
        ("slurm", "p5.48xlarge", 1),
        ("eks", "p6-b300.48xlarge", 1),
        ("hyperpod", "p4d.24xlarge", 4),
        ("hyperpod", "p5.48xlarge", 32),
        ("hyperpod", "p6-b300.48xlarge", 17),
        ("hyperpod", "trn2.48xlarge", 16),
    ],
)
def test_addresses_per_node(serves: str, name: str, addresses: int) -> None:
    """The figures of HyperPod are those of AWS's own planning table."""
    settings = {"serves": serves, "instance_type": name, "zone": "use1-az1", "nodes": 1}
    source = CapacitySource.model_validate(settings | {"purchase": {"kind": "on-demand"}})
    assert addresses_per_node(source, instance_type(name)) == addresses


@given(addresses=st.integers(12, 60_000))
def test_the_subnet_that_is_offered_is_the_smallest_that_does(addresses: int) -> None:
    prefix = prefix_for(addresses)
    assert usable_addresses(IPv4Network(f"10.0.0.0/{prefix}")) >= addresses
    assert usable_addresses(IPv4Network(f"10.0.0.0/{prefix + 1}")) < addresses
