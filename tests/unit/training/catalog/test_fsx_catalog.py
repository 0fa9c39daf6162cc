"""Sizes of FSx for Lustre: what is legal stays, what is not gets legal neighbours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.catalog.fsx import Tier, lustre

RULES = lustre()


@pytest.mark.parametrize(
    ("size", "mbps", "efa", "nearest"),
    [
        (1200, 125, False, (1200,)),
        (2400, 1000, False, (2400,)),
        (1, 125, False, (1200,)),
        (1300, 125, False, (1200, 2400)),
        (5000, 125, False, (4800, 7200)),
        (4800, 1000, True, (4800,)),
        (4800, 500, True, (9600,)),
        (40000, 125, True, (38400, 76800)),
    ],
)
def test_nearest_sizes(size: int, mbps: int, efa: bool, nearest: tuple[int, ...]) -> None:
    tier = RULES.tier(mbps)
    assert tier is not None
    assert RULES.nearest_sizes(size, tier, efa=efa) == nearest


@given(size=st.integers(1, 10**6), tier=st.sampled_from(RULES.tiers), efa=st.booleans())
def test_what_is_offered_is_legal_and_encloses_what_was_asked(size: int, tier: Tier, efa: bool) -> None:
    offered = RULES.nearest_sizes(size, tier, efa=efa)
    assert all(RULES.nearest_sizes(each, tier, efa=efa) == (each,) for each in offered)
    assert max(offered) >= size
    assert len(offered) == 1 or min(offered) < size < max(offered)


def test_an_unknown_tier_is_none() -> None:
    assert RULES.tier(300) is None
