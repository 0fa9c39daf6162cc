"""What AWS allows of a VPC's addresses. Source: Amazon VPC User Guide, subnet-sizing.html and vpc-cidr-blocks.html."""

from __future__ import annotations

from ipaddress import IPv4Network

# prefix lengths that AWS accepts, for a VPC's block and for a subnet
LARGEST_PREFIX, SMALLEST_PREFIX = 16, 28

# network, router, DNS, reserved, broadcast
RESERVED_PER_SUBNET = 5

# where a VPC's addresses may come from: RFC 1918 and RFC 6598
PRIVATE_RANGES = tuple(
    IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)


def is_private(block: IPv4Network) -> bool:
    """Whether `block` lies in a range that never meets the public Internet."""
    return any(block.subnet_of(private) for private in PRIVATE_RANGES)


def has_legal_size(block: IPv4Network) -> bool:
    """Whether AWS accepts a VPC or a subnet of that size."""
    return LARGEST_PREFIX <= block.prefixlen <= SMALLEST_PREFIX


def usable_addresses(subnet: IPv4Network) -> int:
    """Addresses left for network interfaces."""
    return subnet.num_addresses - RESERVED_PER_SUBNET


def prefix_for(addresses: int) -> int:
    """Prefix length of the smallest subnet with so many addresses left for network interfaces."""
    return 32 - (addresses + RESERVED_PER_SUBNET - 1).bit_length()
