"""Under which address a node of a cluster is reached by the others."""

from __future__ import annotations

import fcntl
import socket
import struct

_SIOCGIFADDR = 0x8915  # linux/sockios.h
_DISCARD_PORT = 9  # RFC 863; nothing is sent


def address_towards(host: str) -> str:
    """The address of this machine from which the kernel would speak to `host`: with several networks the one that the
    other can answer to. What a host name resolves to may be loopback. OSError when `host` has no address."""
    family, kind, _, _, target = socket.getaddrinfo(host, _DISCARD_PORT, socket.AF_INET, socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(target)  # of a datagram socket: a route is chosen, nothing is sent
        return str(probe.getsockname()[0])


def interface_of(address: str) -> str | None:
    """The network interface that has this address, if one has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                # struct ifreq: the name, then a sockaddr_in whose address is its bytes 4 to 8
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("16s24x", name.encode()))
            except OSError:
                continue  # it has no address
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return None
