"""Where the metrics of a program without an event loop are read."""

from __future__ import annotations

import socket
import urllib.request

import pytest

from paceline.journal.exposition import MetricsServer
from paceline.spec.errors import PacelineError

HOSTS = ["127.0.0.1"] + (["[::1]"] if socket.has_dualstack_ipv6() else [])


@pytest.mark.parametrize("host", HOSTS)
def test_a_free_port_is_the_same_one_for_every_address_of_the_host(host: str) -> None:
    with MetricsServer(0) as server:
        server.text = "paceline_heal_nodes 2\n"
        with urllib.request.urlopen(f"http://{host}:{server.port}/metrics", timeout=5) as answer:
            assert answer.read() == b"paceline_heal_nodes 2\n"


def test_a_port_that_is_taken_is_told_with_what_to_do() -> None:
    with (
        MetricsServer(0) as first,
        pytest.raises(PacelineError, match=f"port {first.port} for metrics: Address already in use") as raised,
    ):
        MetricsServer(first.port)
    assert "--metrics-port" in raised.value.render()
