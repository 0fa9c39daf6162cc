"""What every rank testifies to all others about a step, for the corruption sentinel.

A testimony is a handful of 64-bit words. They travel with the sums that a step makes anyway, so that all ranks know
those of all others without a message, and without waiting for the device.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WORDS = 6
"""Of one rank's testimony: the fields of `Testimony` in their order, with two places for `partners`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Testimony:
    """What one rank says about one step, all but `altered` as fingerprints.

    `state` is of everything it held before the step, parameters and optimizer; `altered` says that this was no longer
    so when the update was due. `loss` is of the loss of its passes. `passes` is of their loss and gradients before
    these are summed over ranks, and `partners` of those of the ranks it recomputed; 0 where nothing was recomputed.
    """

    state: int
    altered: bool
    loss: int
    passes: int = 0
    partners: tuple[int, int] = (0, 0)


def read(words: npt.NDArray[np.int64]) -> list[Testimony]:
    """The testimonies of all ranks, from [world_size, WORDS]."""
    return [
        Testimony(state=state, altered=bool(altered), loss=loss, passes=passes, partners=(first, second))
        for state, altered, loss, passes, first, second in words.tolist()
    ]
