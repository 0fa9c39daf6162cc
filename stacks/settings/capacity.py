"""Where a team's accelerators come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from paceline.spec.base import Record
from stacks.settings.addresses import ZoneId
from stacks.settings.update import DRAIN, LIVE, REPLACE

ReservationId = Annotated[str, Field(pattern=r"^cr-[0-9a-f]{17}$")]

_RESERVATION = "id of the capacity reservation, cr-..."
_STARTS = "when it begins, with time zone"
_ENDS = "when it ends, with time zone; alarms warn before"
_INSTANCES = "how many instances the reservation holds; nodes cannot be more"
_EXTENDED = "whether it was made longer after it was bought: it can then last any number of days and end at any time"


class OnDemand(Record):
    """Bought by the hour, if there is any."""

    kind: Literal["on-demand"] = Field(description="how it is bought", json_schema_extra=REPLACE)


class Spot(Record):
    """Bought by the hour at a lower price, and taken back with a notice of two minutes."""

    kind: Literal["spot"] = Field(description="how it is bought", json_schema_extra=REPLACE)


class Reserved(Record):
    """An on-demand capacity reservation that this team creates, inside its own cluster placement group."""

    kind: Literal["odcr"] = Field(description="how it is bought", json_schema_extra=REPLACE)
    ends: AwareDatetime | None = Field(
        default=None, description=f"{_ENDS}. Without one it is paid for until deleted", json_schema_extra=LIVE
    )


class Attached(Record):
    """An on-demand capacity reservation that exists already, delivered by AWS or made by hand."""

    kind: Literal["odcr-attached"] = Field(description="how it is bought", json_schema_extra=REPLACE)
    reservation: ReservationId = Field(description=_RESERVATION, json_schema_extra=DRAIN)
    instances: int = Field(ge=1, description=_INSTANCES, json_schema_extra=LIVE)
    placement_group: str | None = Field(
        default=None,
        pattern=r"^[^\s]{1,255}$",
        description="name of the cluster placement group that the reservation was created in, if it was in one",
        json_schema_extra=DRAIN,
    )
    ends: AwareDatetime | None = Field(default=None, description=_ENDS, json_schema_extra=LIVE)


class Interruptible(Record):
    """A reservation whose owner lends it and can take it back."""

    kind: Literal["odcr-interruptible"] = Field(description="how it is bought", json_schema_extra=REPLACE)
    reservation: ReservationId = Field(description=_RESERVATION, json_schema_extra=DRAIN)
    instances: int = Field(ge=1, description=_INSTANCES, json_schema_extra=LIVE)


class CapacityBlock(Record):
    """EC2 Capacity Blocks for ML, bought beforehand: instances end half an hour before the block does."""

    kind: Literal["capacity-block"] = Field(description="how it is bought", json_schema_extra=REPLACE)
    reservation: ReservationId = Field(description=_RESERVATION, json_schema_extra=DRAIN)
    instances: int = Field(ge=1, description=_INSTANCES, json_schema_extra=LIVE)
    starts: AwareDatetime = Field(description=_STARTS, json_schema_extra=LIVE)
    ends: AwareDatetime = Field(description=_ENDS, json_schema_extra=LIVE)
    extended: bool = Field(default=False, description=_EXTENDED, json_schema_extra=LIVE)


class UltraServerBlock(Record):
    """A Capacity Block of whole UltraServers."""

    kind: Literal["ultraserver-block"] = Field(description="how it is bought", json_schema_extra=REPLACE)
    reservation: ReservationId = Field(description=_RESERVATION, json_schema_extra=DRAIN)
    instances: int = Field(ge=1, description=_INSTANCES, json_schema_extra=LIVE)
    starts: AwareDatetime = Field(description=_STARTS, json_schema_extra=LIVE)
    ends: AwareDatetime = Field(description=_ENDS, json_schema_extra=LIVE)
    extended: bool = Field(default=False, description=_EXTENDED, json_schema_extra=LIVE)


class TrainingPlan(Record):
    """A SageMaker training plan, usable by HyperPod only."""

    kind: Literal["training-plan"] = Field(description="how it is bought", json_schema_extra=REPLACE)
    arn: str = Field(
        pattern=r"^arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:training-plan/.+$",
        description="ARN of the plan",
        json_schema_extra=REPLACE,
    )
    instances: int = Field(ge=1, description="how many instances the plan holds", json_schema_extra=LIVE)
    ends: AwareDatetime = Field(description=_ENDS, json_schema_extra=LIVE)


Purchase = Annotated[
    OnDemand | Spot | Reserved | Attached | Interruptible | CapacityBlock | UltraServerBlock | TrainingPlan,
    Field(discriminator="kind"),
]


class CapacitySource(Record):
    """Nodes of one instance type, bought in one way, in one zone, for one orchestrator. One stack each."""

    serves: Literal["eks", "slurm", "hyperpod"] = Field(
        description="which orchestrator of the team gets the nodes", json_schema_extra=REPLACE
    )
    instance_type: str = Field(description="EC2 instance type, e.g. p5en.48xlarge", json_schema_extra=REPLACE)
    zone: ZoneId = Field(description="zone id of the reservation, and of the subnet", json_schema_extra=REPLACE)
    layout: str | None = Field(
        default=None,
        description="how the network cards are wired: a layout of `paceline catalog show TYPE`. Without one the layout"
        " that takes the fewest addresses",
        json_schema_extra=DRAIN,
    )
    nodes: int = Field(ge=1, description="most nodes, spares included", json_schema_extra=LIVE)
    min_nodes: int = Field(default=0, ge=0, description="nodes that are always there", json_schema_extra=LIVE)
    spares: int = Field(default=0, ge=0, description="of the nodes, how many stand by", json_schema_extra=LIVE)
    purchase: Purchase = Field(description="how the nodes are bought", json_schema_extra=REPLACE)
    volume_gib: int = Field(default=500, ge=50, description="root volume of each node", json_schema_extra=DRAIN)


SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,19}$")]
CapacitySources = dict[SourceName, CapacitySource]
