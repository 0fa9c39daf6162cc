"""A rendered job: everything that the processes of one run are told, in one file that all of them read."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from paceline.spec.base import Record
from paceline.spec.manifest import BaseModelRecord


class Timeouts(Record):
    """How long is too long, in seconds."""

    heartbeat_interval: float = Field(default=0.25, gt=0, description="between two reports of a node")
    node_lost: float = Field(default=6.0, gt=0, description="silence after which a node counts as lost")
    disconnect_grace: float = Field(default=0.1, ge=0, description="a closed connection may come back within this")
    lease: float = Field(
        default=20.0, gt=0, description="a node that no coordinator has heard for so long stops training"
    )
    full_house: float = Field(
        default=20.0, ge=0, description="waiting at the start for spares that do not come, once nodes suffice"
    )
    membership: float = Field(default=120.0, gt=0, description="waiting for enough nodes before the run fails")
    drain: float = Field(default=60.0, gt=0, description="last snapshot and its upload when the run ends")
    hang_floor: float = Field(default=5.0, gt=0, description="the shortest time without progress that is a hang")
    start: float = Field(default=1800.0, gt=0, description="to the first step of a run; compiling is part of it")

    @model_validator(mode="after")
    def _lease_fits(self) -> Self:
        if not self.node_lost < self.lease < self.membership:
            raise ValueError("a lease is longer than a node is given to report, and shorter than a run waits for nodes")
        return self


class FaultBudget(Record):
    """What a run takes for bad luck: so many faults within `window` seconds, and no more."""

    window: float = Field(default=3600.0, gt=0, description="seconds over which faults are counted")
    errors: int = Field(default=10, ge=1, description="exceptions of workers: at so many it is a bug, and the run ends")
    node_faults: int = Field(
        default=2, ge=1, description="of one node: at so many it has a cause, and others are used while there are any"
    )


class JobSpec(Record):
    """One run. `recipe` is the resolved recipe; `nodes` are needed, `spares` stand by."""

    run: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    recipe: dict[str, Any]
    recipe_sha256: str
    nodes: int = Field(ge=1)
    spares: int = Field(default=0, ge=0)
    fewer_nodes: tuple[int, ...] = Field(
        default=(), description="numbers of nodes that the run may shrink to when no spare is left, largest first"
    )
    workers_per_node: int = Field(default=1, ge=1)
    dataset: str = Field(description="where the tokenised data lies: s3://... or file:///...")
    data_order: str = Field(description="the ledger's genesis: which data, cut how, in which order")
    vocabulary: int
    model: dict[str, Any] | None = Field(default=None, description="the model's `config.json`, as Hugging Face has it")
    base: BaseModelRecord | None = Field(default=None, description="what `model.weights` was when the run began")
    checkpoints: str = Field(description="root of the run's durable checkpoints")
    graphs: str | None = Field(
        default=None, description="root of what Neuron's compiler makes ahead of the run; null: nothing is made ahead"
    )
    journal: str = Field(description="directory for event files")
    environment: dict[str, str] = Field(default={}, description="variables of the workers")
    coordinator_host: str = "127.0.0.1"
    coordinator_port: int = Field(ge=1, le=65535)
    image_digest: str | None = None
    first_generation: int = Field(default=0, ge=0, description="above those of earlier parts of the same run")
    timeouts: Timeouts = Timeouts()
    fault_budget: FaultBudget = FaultBudget()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of nodes that the run can train on, largest first; it begins with the first."""
        return (self.nodes, *self.fewer_nodes)

    @property
    def world_size(self) -> int:
        return self.nodes * self.workers_per_node
