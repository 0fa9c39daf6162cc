"""Where a team's accelerators come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from paceline.spec.base import Record
from stacks.settings.addresses import ZoneId
from stacks.settings.update import DRAIN, LIVE, REPLACE

ReservationId = Annotated[str, Field(pattern=r"^cr-[0-9a-f]{17}$")]

_RESERVATION = "id of the capacity reservation, e.g. cr-0123456789abcdef0"
_STARTS = "when it begins, with time zone, as AWS shows it: 2030-01-07T11:30:00Z"
_ENDS = "when it ends, with time zone; alerts.critical hears of it 7 days, 1 day and 2 hours before nodes are taken"
_INSTANCES = "instances in the reservation; `nodes` cannot be more"
_EXTENDED = "true if it was made longer after it was bought: only then may it last and end as no block can be bought"


class OnDemand(Record):
    """Bought by the hour, while AWS has any: otherwise a launch waits. For trials, and for types that are plenty."""

    kind: Literal["on-demand"] = Field(description="how it is bought", json_schema_extra=REPLACE)


class Spot(Record):
    """Bought by the hour at a lower price, and taken back with a notice of two minutes: for runs that survive it."""

    kind: Literal["spot"] = Field(description="how it is bought", json_schema_extra=REPLACE)


class Reserved(Record):
    """An on-demand capacity reservation of `nodes` instances that this team creates, in a placement group of its own.

    It is paid for from its creation, used or not, and its creation fails while AWS has no instances.
    """

    kind: Literal["odcr"] = Field(description="how it is bought", json_schema_extra=REPLACE)
    ends: AwareDatetime | None = Field(
        default=None, description=f"{_ENDS}. Without one it is paid for until it is deleted", json_schema_extra=LIVE
    )


class Attached(Record):
    """An on-demand capacity reservation that exists already, delivered by AWS or made by hand. Its owner ends it."""

    kind: Literal["odcr-attached"] = Field(description="how it is bought", json_schema_extra=REPLACE)
    reservation: ReservationId = Field(description=_RESERVATION, json_schema_extra=DRAIN)
    instances: int = Field(ge=1, description=_INSTANCES, json_schema_extra=LIVE)
    placement_group: str | None = Field(
        default=None,
        pattern=r"^[^\s]{1,255}$",
        description="name of the cluster placement group that the reservation was created in; a launch into any other"
        " group fails. Without it the reservation was created in none",
        json_schema_extra=DRAIN,
    )
    ends: AwareDatetime | None = Field(default=None, description=_ENDS, json_schema_extra=LIVE)


class Interruptible(Record):
    """A reservation whose owner lends it, and takes it back with a notice of two minutes. Slurm only."""

    kind: Literal["odcr-interruptible"] = Field(description="how it is bought", json_schema_extra=REPLACE)
    reservation: ReservationId = Field(description=_RESERVATION, json_schema_extra=DRAIN)
    instances: int = Field(ge=1, description=_INSTANCES, json_schema_extra=LIVE)


class CapacityBlock(Record):
    """An EC2 Capacity Block for ML, bought beforehand. EC2 takes its instances half an hour before it ends."""

    kind: Literal["capacity-block"] = Field(description="how it is bought", json_schema_extra=REPLACE)
    reservation: ReservationId = Field(description=_RESERVATION, json_schema_extra=DRAIN)
    instances: int = Field(ge=1, description=_INSTANCES, json_schema_extra=LIVE)
    starts: AwareDatetime = Field(description=_STARTS, json_schema_extra=LIVE)
    ends: AwareDatetime = Field(description=_ENDS, json_schema_extra=LIVE)
    extended: bool = Field(default=False, description=_EXTENDED, json_schema_extra=LIVE)


class UltraServerBlock(Record):
    """A Capacity Block of whole UltraServers. EC2 takes its instances an hour before it ends."""

    kind: Literal["ultraserver-block"] = Field(description="how it is bought", json_schema_extra=REPLACE)
    reservation: ReservationId = Field(description=_RESERVATION, json_schema_extra=DRAIN)
    instances: int = Field(ge=1, description=_INSTANCES, json_schema_extra=LIVE)
    starts: AwareDatetime = Field(description=_STARTS, json_schema_extra=LIVE)
    ends: AwareDatetime = Field(description=_ENDS, json_schema_extra=LIVE)
    extended: bool = Field(default=False, description=_EXTENDED, json_schema_extra=LIVE)


class TrainingPlan(Record):
    """A SageMaker training plan, usable by HyperPod only. Its instances are taken an hour before it ends."""

    kind: Literal["training-plan"] = Field(description="how it is bought", json_schema_extra=REPLACE)
    arn: str = Field(
        pattern=r"^arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:training-plan/.+$",
        description="ARN of the training plan",
        json_schema_extra=REPLACE,
    )
    instances: int = Field(ge=1, description="instances in the plan; `nodes` cannot be more", json_schema_extra=LIVE)
    ends: AwareDatetime = Field(description=_ENDS, json_schema_extra=LIVE)


Purchase = Annotated[
    OnDemand | Spot | Reserved | Attached | Interruptible | CapacityBlock | UltraServerBlock | TrainingPlan,
    Field(discriminator="kind"),
]


class CapacitySource(Record):
    """Nodes of one instance type, bought in one way, in one zone, for one orchestrator. One stack each."""

    serves: Literal["eks", "slurm", "hyperpod"] = Field(
        description="which of the team's clusters gets the nodes", json_schema_extra=REPLACE
    )
    instance_type: str = Field(
        description="EC2 instance type, e.g. p5en.48xlarge; one that `paceline catalog ls` lists",
        json_schema_extra=REPLACE,
    )
    zone: ZoneId = Field(
        description="availability-zone id, e.g. use1-az1: a key of network.subnets, and the zone of what was bought",
        json_schema_extra=REPLACE,
    )
    layout: str | None = Field(
        default=None,
        description="how the network cards are wired, by a name from `paceline catalog show TYPE`. Without it the"
        " wiring that takes the fewest addresses of the subnet",
        json_schema_extra=DRAIN,
    )
    nodes: int = Field(
        ge=1,
        description="most nodes that there can be, spares included; the budget of addresses counts them all",
        json_schema_extra=LIVE,
    )
    min_nodes: int = Field(
        default=0,
        ge=0,
        description="nodes that are kept running without jobs. Slurm starts the others when jobs wait, and ends them"
        " when idle; on EKS somebody scales the node group",
        json_schema_extra=LIVE,
    )
    spares: int = Field(
        default=0,
        ge=0,
        description="how many of `nodes` stand by to take the place of one that fails; runs are not planned on them",
        json_schema_extra=LIVE,
    )
    purchase: Purchase = Field(
        description="how the nodes are bought; each kind has fields of its own", json_schema_extra=REPLACE
    )
    volume_gib: int = Field(
        default=500,
        ge=50,
        description="root volume of each node in GiB, encrypted; container images lie there. HyperPod: the volume at"
        " /opt/sagemaker",
        json_schema_extra=DRAIN,
    )


SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,19}$")]
CapacitySources = dict[SourceName, CapacitySource]
