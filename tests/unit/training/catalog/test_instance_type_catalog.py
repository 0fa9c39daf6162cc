"""The wiring of every instance type obeys EC2's rules; the loader keeps what is unknown unknown."""

from __future__ import annotations

from collections import Counter

import pytest

from paceline.catalog.instance_types import InstanceType, Layout, instance_type, instance_types
from paceline.catalog.tables import read_table
from paceline.spec.errors import ParameterError

LAYOUTS = [
    pytest.param(row, layout, id=f"{row.instance_type}-{name}")
    for row in instance_types().values()
    for name, layout in (row.layouts or {}).items()
]


@pytest.mark.parametrize(("row", "layout"), LAYOUTS)
def test_layout_is_one_that_ec2_accepts(row: InstanceType, layout: Layout) -> None:
    """EC2 User Guide, efa-acc-inst-types.html and using-eni.html."""
    assert row.network_cards is not None
    assert row.max_enis is not None
    interfaces = layout.interfaces
    slots = [(i.card, i.device) for i in interfaces]
    efa_per_card = Counter(i.card for i in interfaces if i.kind == "efa-only")
    assert (interfaces[0].card, interfaces[0].device, interfaces[0].kind) == (0, 0, "ena")  # efa-only is never primary
    assert len(set(slots)) == len(slots)
    assert max(i.card for i in interfaces) < row.network_cards
    assert len(interfaces) <= row.max_enis
    assert all(count == 1 for count in efa_per_card.values())
    assert efa_per_card.total() <= (row.max_efa_interfaces or 0)
    if row.max_enis_per_card is not None:
        assert max(i.device for i in interfaces) < row.max_enis_per_card
    if not row.efa_on_card_0:
        assert 0 not in efa_per_card
    assert sum(i.kind == "ena" for i in interfaces) == layout.min_private_ips


def test_the_least_addresses_layout_uses_every_efa_card() -> None:
    for row in instance_types().values():
        if layout := (row.layouts or {}).get("efa_only"):
            assert sum(i.kind == "efa-only" for i in layout.interfaces) == row.max_efa_interfaces
            assert layout.min_private_ips == 1


def test_card_0_of_p6_b300_carries_no_efa() -> None:
    layouts = instance_type("p6-b300.48xlarge").layouts
    assert layouts is not None
    assert [(i.card, i.kind) for i in layouts["efa_only"].interfaces][:2] == [(0, "ena"), (1, "efa-only")]


def test_every_row_names_sources_that_are_listed() -> None:
    sources = read_table("instance_types")["sources"]
    for row in instance_types().values():
        assert set(row.sources) <= set(sources)


def test_what_nobody_verified_stays_none() -> None:
    assert instance_type("p5en.48xlarge").capacity_block.regions is None
    assert instance_type("trn3-gen1").max_efa_interfaces is None


def test_an_unknown_type_names_the_nearest() -> None:
    with pytest.raises(ParameterError) as caught:
        instance_type("p5.48xlarg")
    assert caught.value.problems[0].hint == "did you mean `p5.48xlarge`?"
