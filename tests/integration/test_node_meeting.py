"""Two agents' errands meet over loopback: right results and a speed, with the program that production runs."""

from __future__ import annotations

import asyncio
import socket

import pytest

from paceline.health.base import Node
from paceline.health.errand import carry_out
from paceline.health.probe import HostProbe
from paceline.spec.healing import Answer, Meeting, Order, Rung
from paceline.spec.health import Result

pytestmark = pytest.mark.integration


def meeting() -> Meeting:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return Meeting(nodes=("n0", "n1"), host="127.0.0.1", port=port)


def test_two_nodes_add_and_exchange_and_say_how_fast() -> None:
    order = Order(id="c.0.pair.0", rung=Rung.PAIR, peers=("n1",), meeting=meeting())

    async def both() -> list[Answer]:
        return await asyncio.gather(*[carry_out(order, HostProbe(), Node.of(name, None)) for name in ("n0", "n1")])

    for answer in asyncio.run(both()):
        assert (answer.id, answer.result, answer.findings) == (order.id, Result.PASS, ())
        assert [one.test for one in answer.measurements] == ["fabric-all-reduce", "fabric-pair"]
        assert all(one.speed > 0 and one.nodes == 2 for one in answer.measurements)
        assert all(one.library.startswith("gloo of torch") for one in answer.measurements)
