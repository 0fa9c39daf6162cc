from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from paceline.chaos.leaks import Leaks, find
from paceline.chaos.orders import ENV_ORDERS, Deed, Order, give, take
from paceline.chaos.registry import chosen, fault_classes
from paceline.spec.errors import ParameterError
from paceline.spec.events import AnyEvent

GUIDE = Path(__file__).parents[4] / "docs" / "guides" / "what-happens-when.md"
CLASSES = fault_classes()


def test_all_classes_of_the_field_are_there() -> None:
    assert len(CLASSES) >= 16
    assert [fault.name() for fault in chosen([])] == list(CLASSES)


def test_a_class_that_is_none_is_told_with_the_nearest() -> None:
    with pytest.raises(ParameterError, match="worker_kil: not a class of faults") as refused:
        chosen(["worker_kil", "node_los"])
    assert [p.hint for p in refused.value.problems] == ["did you mean `worker_kill`?", "did you mean `node_loss`?"]


@pytest.mark.parametrize("name", CLASSES)
def test_the_signs_of_a_class_are_kinds_of_events(name: str) -> None:
    kinds = {kind.model_fields["kind"].default for kind in get_args(get_args(AnyEvent)[0])}
    assert set(CLASSES[name].signs) <= kinds


@pytest.mark.parametrize("name", CLASSES)
def test_the_guide_has_a_section_for_every_class(name: str) -> None:
    assert re.search(rf"^### {name}$", GUIDE.read_text(), re.MULTILINE)


def test_the_guide_has_no_section_for_anything_else() -> None:
    assert set(re.findall(r"^### (\w+)$", GUIDE.read_text(), re.MULTILINE)) == set(CLASSES)


def test_an_order_is_taken_once(tmp_path: Path) -> None:
    order = Order(deed=Deed.JUMP_CLOCK, amount=-5.0)
    give(tmp_path, os.getpid(), order)
    give(tmp_path, os.getpid() + 1, Order(deed=Deed.SLOW))
    assert take(tmp_path) == order
    assert take(tmp_path) is None


def test_what_is_left_behind_is_found(tmp_path: Path) -> None:
    orders, temporary = tmp_path / "orders", tmp_path / "tmp"
    temporary.mkdir()
    assert find(orders, [], temporary, tmp_path) == Leaks(processes=0, segments=0, ports=0, files=0)
    code = (
        "import os, socket; kept = os.memfd_create('paceline-node-0-own0a'); server = socket.create_server"
        "(('127.0.0.1', 0)); print(server.getsockname()[1], flush=True); input()"
    )
    (temporary / "left").write_text("")
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, ENV_ORDERS: str(orders)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        assert find(orders, [port], temporary, tmp_path) == Leaks(processes=1, segments=1, ports=1, files=1)
        child.kill()
    assert find(orders, [port], temporary, tmp_path) == Leaks(processes=0, segments=0, ports=0, files=1)
