"""Ways to buy, and versions."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

import pytest

from paceline.catalog.instance_types import instance_types
from paceline.catalog.purchases import PurchaseKind, block_rules, notice, plan_rules, purchases, whole_days
from paceline.catalog.tables import read_table
from paceline.catalog.versions import eks_image_type, versions


def test_every_way_to_buy_has_a_row() -> None:
    assert set(purchases()) == set(get_args(PurchaseKind))


def test_every_way_to_buy_is_taken_by_someone() -> None:
    assert all(row.eks or row.pcs or row.hyperpod for row in purchases().values())


def test_blocks_last_days_then_weeks() -> None:
    days = block_rules().duration.days
    assert days[:15] == (*range(1, 15), 21)
    assert days[-1] == 182
    assert len(days) == 14 + 24


@pytest.mark.parametrize(
    ("duration", "days"),
    [(timedelta(days=14), 14), (timedelta(days=13, seconds=1), 14), (timedelta(hours=1), 1)],
)
def test_whole_days(duration: timedelta, days: int) -> None:
    assert whole_days(duration) == days


def test_nodes_are_taken_before_the_end_of_what_ends_by_itself() -> None:
    assert notice("capacity-block") == timedelta(minutes=30)
    assert notice("ultraserver-block") == timedelta(hours=1)
    assert notice("training-plan") == timedelta(minutes=plan_rules().nodes_terminated_before_end_min)
    assert notice("odcr") == timedelta(0)


def test_every_version_names_sources_that_are_listed() -> None:
    tables = versions()
    for row in (*tables.eks, *tables.slurm, *tables.eks_images):
        assert set(row.sources) <= set(tables.sources)
    assert read_table("purchases")["sources"]


def test_support_ends_after_it_began() -> None:
    for row in (*versions().eks, *versions().slurm):
        dates = [date for date in (row.released, row.standard_support_ends, row.support_ends) if date]
        assert dates == sorted(dates)


def test_eks_has_an_image_for_every_type_that_it_can_launch() -> None:
    for row in instance_types().values():
        if row.layouts and row.cpu_arch:
            assert eks_image_type(row.family, row.cpu_arch) is not None
    assert eks_image_type("neuron", "arm64") is None
    assert eks_image_type(None, "x86_64") == "AL2023_x86_64_STANDARD"


def test_the_first_layout_takes_the_fewest_addresses() -> None:
    for row in instance_types().values():
        if row.layouts and (first := row.layout()):
            assert first.min_private_ips == min(layout.min_private_ips for layout in row.layouts.values()) == 1
