"""A write that did not reach its end, and is needed: the nodes that have the state in memory are gone."""

from __future__ import annotations

from random import Random

from paceline.chaos.base import FaultClass
from paceline.chaos.field import Field


class TornWrite(FaultClass):
    breaks = "the end of a file of the newest checkpoint is missing, and all nodes that train are lost"
    then = "the checkpoint is refused, and the one before it is taken"
    signs = ("checkpoint.rejected",)
    patience = 150.0  # a lease has to pass, and checkpoints to be read

    def strike(self, field: Field, rng: Random) -> None:
        def tear(content: bytearray) -> None:
            del content[rng.randrange(len(content)) :]

        field.stop_workers(rng)
        field.damage_checkpoint(rng, tear)
        for node in field.members(rng):
            field.kill_node(node)
