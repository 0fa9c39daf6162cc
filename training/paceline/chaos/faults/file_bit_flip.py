"""A durable checkpoint rots, and is needed: the nodes that have the state in memory are gone."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field


class FileBitFlip(FaultClass):
    breaks = "a bit flips in a file of the newest checkpoint, and all nodes that train are lost"
    then = "the checkpoint is refused, and the one before it is taken"
    signs = ("checkpoint.rejected",)
    patience = 150.0  # a lease has to pass, and checkpoints to be read

    def strike(self, field: Field, rng: Random) -> None:
        def flip(content: bytearray) -> None:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)

        field.stop_workers(rng)
        field.damage_checkpoint(rng, flip)
        for node in field.members(rng):
            field.kill_node(node)
