"""Orders from a chaos run to the saboteur in one of its workers: a file per process, taken once.

The directory is named by an environment variable that all processes of the run inherit. By the same mark everything
that a chaos run has started can be told from the rest of the machine (leaks.py).
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

from paceline.spec.base import Record

ENV_ORDERS = "PACELINE_CHAOS_ORDERS"
SLOW_STEPS = 64  # three windows of the watch over stragglers, wherever they begin


class Deed(StrEnum):
    """What a worker can be made to do to itself between two steps."""

    HANG_IN_COLLECTIVE = "hang_in_collective"
    HANG_IN_DATA = "hang_in_data"
    SLOW = "slow"
    FLIP_PARAMETER = "flip_parameter"
    FLIP_GRADIENT = "flip_gradient"
    EXHAUST_MEMORY = "exhaust_memory"
    JUMP_CLOCK = "jump_clock"


class Order(Record):
    """`amount` is in the unit of the deed: seconds for `slow` (of each layer) and `jump_clock`, bytes for
    `exhaust_memory`; a rank is `slow` for SLOW_STEPS; `element` chooses what is flipped, and `bit` which of its 32."""

    deed: Deed
    amount: float = 0.0
    element: int = 0
    bit: int = 0


def give(directory: Path, pid: int, order: Order) -> None:
    """Have worker `pid` carry out `order` before its next step."""
    draft = directory / f".{pid}"
    draft.write_text(order.model_dump_json(), encoding="utf-8")
    draft.rename(directory / str(pid))


def take(directory: Path) -> Order | None:
    """The order for this process, if there is one, and only once."""
    path = directory / str(os.getpid())
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    path.unlink()
    return Order.model_validate_json(text)
