"""How often the launcher of a run puts a successor in the place of a coordinator that died."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paceline.launch.coordinator import KeptCoordinator
from paceline.spec.errors import LaunchError


class Machine:
    """Coordinators that are dead as soon as they are looked at, and a clock."""

    def __init__(self) -> None:
        self.now = 5.0
        self.started: list[list[str]] = []

    def spawn(self, module: str, arguments: list[str], log: Path) -> Any:
        self.started.append(arguments[2:])
        return SimpleNamespace(poll=lambda: 1)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def kept(machine: Machine, tmp_path: Path) -> KeptCoordinator:
    return KeptCoordinator(tmp_path, machine.spawn, lambda: machine.now)


def test_all_but_the_first_are_successors(kept: KeptCoordinator, machine: Machine) -> None:
    assert not kept.ended
    kept.start()
    assert kept.ended
    kept.replace()
    kept.replace()
    assert machine.started == [[], ["successor"], ["successor"]]


def test_four_that_die_one_soon_after_the_other_end_the_run(kept: KeptCoordinator, machine: Machine) -> None:
    kept.start()
    for _ in range(3):
        machine.now += 59
        kept.replace()
    machine.now += 59
    with pytest.raises(LaunchError, match="the coordinator ended 4 times, each time within 60 seconds"):
        kept.replace()


def test_one_that_served_for_long_begins_the_count_anew(kept: KeptCoordinator, machine: Machine) -> None:
    kept.start()
    for seconds in (1, 1, 60, 1, 1, 3600) * 3:
        machine.now += seconds
        kept.replace()
    assert machine.started[1:] == [["successor"]] * 18
