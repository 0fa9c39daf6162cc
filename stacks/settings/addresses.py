"""Zone ids and address blocks, checked as they are read."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated

from pydantic import AfterValidator

from paceline.catalog.network import PRIVATE_RANGES, has_legal_size, is_private
from paceline.catalog.zones import is_zone_id


def _zone_id(value: str) -> str:
    if not is_zone_id(value):
        raise ValueError(f"{value} is not an availability-zone id ## write the zone's id, not its name, e.g. use1-az1")
    return value


def _block(value: IPv4Network) -> IPv4Network:
    if not has_legal_size(value):
        raise ValueError(f"AWS accepts blocks from /16 to /28, not /{value.prefixlen} ## choose a size between the two")
    if not is_private(value):
        ranges = ", ".join(str(block) for block in PRIVATE_RANGES)
        raise ValueError(f"{value} is not a private range ## choose a block inside one of {ranges}")
    return value


ZoneId = Annotated[str, AfterValidator(_zone_id)]
Block = Annotated[IPv4Network, AfterValidator(_block)]
