"""Which node this is."""

from __future__ import annotations

import platform

from paceline.catalog.instance_types import instance_types
from paceline.health.base import InconclusiveError, Probe

# On Nitro instances the firmware gives the instance type as the product's name.
_PRODUCT = "/sys/class/dmi/id/product_name"
_BOOT = "/proc/sys/kernel/random/boot_id"


def instance_type_here(probe: Probe) -> str | None:
    """The instance type of this machine; None where the catalog does not know it: a laptop, a node without
    accelerators."""
    try:
        product = probe.read(_PRODUCT).strip()
    except InconclusiveError:
        return None
    return product if product in instance_types() else None


def node_name_here() -> str:
    """The host name without its domain."""
    return platform.node().partition(".")[0]


def boot_id(probe: Probe) -> str:
    """What is different after each boot."""
    return probe.read(_BOOT).strip()
