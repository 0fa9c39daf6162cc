"""What the files in `stacks/parameters/` may say, as types: a section a file, each field with what its change does.

The fields of a section carry `update` (update.py), which `paceline team diff` turns into sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from paceline.spec.base import Record
from stacks.settings.access import Access
from stacks.settings.alerts import Alerts
from stacks.settings.capacity import CapacitySources
from stacks.settings.delivery import Delivery
from stacks.settings.eks import Eks
from stacks.settings.governance import Governance
from stacks.settings.hyperpod import HyperPod
from stacks.settings.location import Location
from stacks.settings.network import Network
from stacks.settings.observability import Observability
from stacks.settings.prices import Prices
from stacks.settings.registry import Registry
from stacks.settings.slurm import Slurm
from stacks.settings.storage import Storage
from stacks.settings.update import LIVE, REPLACE


class Parameters(Record):
    """One team, complete."""

    location: Location
    network: Network
    storage: Storage
    registry: Registry
    capacity: CapacitySources = Field(
        default={},
        description="where accelerators come from: a name of your choice to one way to buy nodes of one type",
        json_schema_extra=LIVE,
    )
    eks: Eks | None = Field(
        default=None,
        description="an Amazon EKS cluster; without it the team has none. Slurm and EKS can stand side by side",
        json_schema_extra=LIVE,
    )
    slurm: Slurm | None = Field(
        default=None, description="a Slurm cluster on AWS PCS; without it the team has none", json_schema_extra=REPLACE
    )
    hyperpod: HyperPod | None = Field(
        default=None,
        description="a SageMaker HyperPod cluster, on EKS (it then needs `eks`) or with its own Slurm; without it the"
        " team has none",
        json_schema_extra=REPLACE,
    )
    alerts: Alerts = Field(
        default=Alerts(), description="who hears of alarms; without it they reach nobody", json_schema_extra=LIVE
    )
    access: Access = Field(
        default=Access(),
        description="shells on nodes: how long they last, and how long their record",
        json_schema_extra=LIVE,
    )
    observability: Observability | None = Field(
        default=None,
        description="a Prometheus workspace with paceline's alert rules, and dashboards; without it the team has none",
        json_schema_extra=LIVE,
    )
    governance: Governance | None = Field(
        default=None,
        description="roles of people and of runs, and a budget; without it the team has none",
        json_schema_extra=LIVE,
    )
    delivery: Delivery | None = Field(
        default=None,
        description="roles for the workflows of a GitHub repository that deploy; without it people deploy",
        json_schema_extra=LIVE,
    )
    prices: Prices = Field(
        default=Prices(),
        description="what nodes and file systems cost you, for the figures of `paceline team diff`; nothing is deployed"
        " from it",
        json_schema_extra=LIVE,
    )
    lifecycle: Literal["retained", "disposable"] = Field(
        default="retained",
        description="retained: stacks are protected from deletion, and buckets, file systems and keys stay when"
        " theirs is deleted. disposable: destroying the team destroys them too (buckets must be emptied first)",
        json_schema_extra=LIVE,
    )
    permission_boundary: str | None = Field(
        default=None,
        pattern=r"^[\w+=,.@/-]+$",
        description="name of an IAM policy of the account that bounds every role of the team; it must exist before"
        " the first deployment. Without it roles have no boundary",
        json_schema_extra=LIVE,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Team:
    """A team is a file: `name` is the file's name without its ending."""

    name: str
    parameters: Parameters
