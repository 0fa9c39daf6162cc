"""On what the faults fall: three runs of the smallest model, for what one run cannot be at the same time.

`fleet` has spares and keeps its checkpoints in a bucket of the embedded AWS; most classes strike it. `replicas` holds
the parameters twice and recomputes every step, as what compares copies needs it. `bare` has no spare, so that its world
changes, and its checkpoints are on a disk that can be full.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from paceline.chaos.base import Leg
from paceline.launch.job import RunRequest
from paceline.recipe.load import load
from paceline.spec.base import Record
from paceline.spec.job import FaultBudget, Timeouts

RECIPE = "debug-tiny"
_MODEL = "model.preset=micro"  # all steps are taken again without faults, to compare the bits
SABOTEUR = "paceline.chaos.saboteur:Saboteur"
_ENDLESS = 10_000_000
LEASE_SECONDS = 10.0  # half of what runs have: classes that lose all members wait for little else
_PATIENCE_SECONDS = 600.0  # for standbys that start on a busy machine; nothing that is measured depends on it
# a rate that is the same at every step: how many there will be is not known before the last fault is over
_CONSTANT = ("schedule.kind=constant", "schedule.warmup_steps=0", "optimizer.learning_rate=1.0e-3")


class Ground(Record):
    """What a leg consists of. `keeps_world` says that every one of its faults leaves as many ranks as there were, so
    that its end must be, bit by bit, that of a run without faults."""

    nodes: int = 2
    spares: int
    storage: Literal["bucket", "directory"]
    keeps_world: bool
    overrides: tuple[str, ...] = ()


LEGS: dict[Leg, Ground] = {
    Leg.FLEET: Ground(spares=2, storage="bucket", keeps_world=True),
    Leg.REPLICAS: Ground(
        spares=1,
        storage="directory",
        keeps_world=True,
        overrides=("parallelism.dp_replicate=2", "sentinel.overhead=1", "sentinel.recompute_every=1"),
    ),
    Leg.BARE: Ground(spares=0, storage="directory", keeps_world=False),
}


def disturbed(leg: Leg, dataset: Path, checkpoints: str) -> RunRequest:
    """The run that is struck. It has no end of its own: it is stopped when the last fault is over."""
    ground = LEGS[leg]
    paced = (f'callbacks=["{SABOTEUR}"]', f"schedule.steps={_ENDLESS}", "checkpoint.persist_every=20")
    return _request(leg, dataset, checkpoints, (*_CONSTANT, *paced, *ground.overrides), spares=ground.spares)


def undisturbed(leg: Leg, dataset: Path, checkpoints: str, *, steps: int) -> RunRequest:
    """The same training for so many steps, with nobody about."""
    whole = (f"schedule.steps={steps}", f"checkpoint.persist_every={steps}")
    return _request(leg, dataset, checkpoints, (*_CONSTANT, *whole, *LEGS[leg].overrides), spares=0)


def _request(leg: Leg, dataset: Path, checkpoints: str, overrides: tuple[str, ...], *, spares: int) -> RunRequest:
    return RunRequest(
        name=f"chaos-{leg.value}",
        recipe=load(RECIPE, (_MODEL, *overrides)),
        dataset=str(dataset),
        checkpoints=checkpoints,
        nodes=LEGS[leg].nodes,
        spares=spares,
        timeouts=Timeouts(membership=_PATIENCE_SECONDS, lease=LEASE_SECONDS),
        fault_budget=FaultBudget(errors=_ENDLESS, node_faults=_ENDLESS),  # here it is neither a bug nor the node
    )
