"""Zone ids and address blocks."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from paceline.catalog.network import has_legal_size, is_private, usable_addresses
from paceline.catalog.zones import is_region, is_zone_id, is_zone_of, place, zone_prefix


@pytest.mark.parametrize(
    ("region", "prefix"),
    [
        ("us-east-1", "use1"),
        ("us-west-2", "usw2"),
        ("eu-central-1", "euc1"),
        ("ap-northeast-1", "apne1"),
        ("ap-southeast-4", "apse4"),
        ("sa-east-1", "sae1"),
        ("me-south-1", "mes1"),
        ("us-gov-west-1", "usgw1"),
        ("cn-northwest-1", "cnnw1"),
    ],
)
def test_prefix_of_zone_ids(region: str, prefix: str) -> None:
    assert zone_prefix(region) == prefix
    assert is_zone_of(f"{prefix}-az1", region)
    assert is_zone_id(f"{prefix}-az1")


@pytest.mark.parametrize("zone", ["us-east-1a", "usw2-az1", "use1-az", "use1-az1b", "use11-az1", ""])
def test_what_is_no_zone_id_of_the_region(zone: str) -> None:
    assert not is_zone_of(zone, "us-east-1")


@pytest.mark.parametrize("name", ["us-east-1a", "use1", "use1-az", "USE1-AZ1"])
def test_what_is_no_zone_id_anywhere(name: str) -> None:
    assert not is_zone_id(name)


def test_a_local_zone_belongs_to_its_region() -> None:
    assert is_zone_of("use1-dfw2-az1", "us-east-1")


def test_price_lists_call_a_local_zone_by_its_name() -> None:
    assert place("use1-dfw2-az1", "us-east-1") == "us-east-1-dfw-2a"
    assert place("use1-az4", "us-east-1") == "us-east-1"


@pytest.mark.parametrize("name", ["us-east", "useast1", "us-up-1", "us-east-1a"])
def test_what_is_no_region(name: str) -> None:
    assert not is_region(name)
    with pytest.raises(ValueError, match="not a region"):
        zone_prefix(name)


def test_addresses() -> None:
    assert usable_addresses(IPv4Network("10.0.0.0/28")) == 11
    assert is_private(IPv4Network("100.64.0.0/16"))
    assert not is_private(IPv4Network("172.32.0.0/16"))
    assert has_legal_size(IPv4Network("10.0.0.0/16"))
    assert not has_legal_size(IPv4Network("10.0.0.0/15"))
    assert not has_legal_size(IPv4Network("10.0.0.0/29"))
