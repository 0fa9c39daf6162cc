"""What PyTorch's flight recorder holds of this process, read as the supervisor reads it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist

from paceline.engines.torch import flight_recorder
from paceline.engines.torch.process_group import join_alone, leave
from paceline.supervise.flight_record import digest


@pytest.fixture
def alone() -> Iterator[None]:
    join_alone()
    yield
    leave()


def test_without_a_group_nothing_is_recorded() -> None:
    assert flight_recorder.dump() == b""


def test_every_collective_is_counted_and_none_is_left_waiting(alone: None) -> None:
    def entered() -> int:
        while True:  # gloo's own thread notes that one is done, which may be after it has returned
            [group] = [g for g in digest(flight_recorder.dump()) if g.description == "default_pg"]
            if group.pending is None:
                return group.entered

    dist.all_reduce(torch.ones(4))
    before = entered()
    dist.all_reduce(torch.ones(4))
    dist.barrier()
    assert entered() == before + 2
