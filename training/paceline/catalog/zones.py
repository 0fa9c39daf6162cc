"""Availability-zone ids: the only zone names that mean the same place in every account."""

from __future__ import annotations

import re

# how AWS shortens the direction in a region's name (us-east-1 -> use1)
_DIRECTIONS = {
    "north": "n",
    "south": "s",
    "east": "e",
    "west": "w",
    "central": "c",
    "northeast": "ne",
    "northwest": "nw",
    "southeast": "se",
    "southwest": "sw",
}
_REGION = re.compile(rf"(?P<area>[a-z]{{2}})(?P<gov>-gov)?-(?P<direction>{'|'.join(_DIRECTIONS)})-(?P<number>\d)")

_SUFFIX = r"(-[a-z]{3}\d)?-az\d"  # with the part in brackets: a Local Zone


def is_region(name: str) -> bool:
    """Whether `name` is built like a region name."""
    return _REGION.fullmatch(name) is not None


def zone_prefix(region: str) -> str:
    """What the ids of all zones of `region` start with: `use1` for us-east-1. ValueError when it is no region name."""
    parts = _REGION.fullmatch(region)
    if parts is None:
        raise ValueError(f"{region}: not a region name")
    gov = "g" if parts["gov"] else ""
    return f"{parts['area']}{gov}{_DIRECTIONS[parts['direction']]}{parts['number']}"


def is_zone_id(name: str) -> bool:
    """Whether `name` is built like a zone id (use1-az4), not like a zone name (us-east-1a)."""
    return re.fullmatch(rf"[a-z]{{3,5}}\d{_SUFFIX}", name) is not None


def is_zone_of(zone_id: str, region: str) -> bool:
    """Whether `zone_id` (use1-az4, or use1-dfw2-az1 for a Local Zone) lies in `region`."""
    return re.fullmatch(zone_prefix(region) + _SUFFIX, zone_id) is not None


def place(zone_id: str, region: str) -> str:
    """What price lists call the place of `zone_id`: the region, or the name of the Local Zone (us-east-1-dfw-2a)."""
    local = re.fullmatch(r"[a-z]{3,5}\d-([a-z]{3})(\d)-az(\d)", zone_id)
    if local is None:
        return region
    city, number, zone = local.groups()
    return f"{region}-{city}-{number}{chr(ord('a') + int(zone) - 1)}"
