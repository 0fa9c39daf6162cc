"""A team's SageMaker HyperPod cluster."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from paceline.catalog.hyperpod import hyperpod
from paceline.spec.base import Record
from stacks.settings.addresses import ZoneId
from stacks.settings.capacity import SourceName
from stacks.settings.lists import Distinct
from stacks.settings.update import DRAIN, LIVE, REPLACE

_RULES = hyperpod()

GroupName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,29}$")]
QuotaName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]
PriorityName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]
Weight = Annotated[int, Field(ge=0, le=100)]


class HostGroup(Record):
    """Nodes without accelerators."""

    role: Literal["controller", "login", "worker"] = Field(
        description="controller (exactly one group with one node) and login are Slurm's; worker is EKS's",
        json_schema_extra=REPLACE,
    )
    instance_type: str = Field(description="EC2 instance type without `ml.`, e.g. m5.4xlarge", json_schema_extra=DRAIN)
    nodes: int = Field(default=1, ge=0, description="how many", json_schema_extra=LIVE)
    zone: ZoneId = Field(description="availability-zone id; a key of network.subnets", json_schema_extra=REPLACE)
    volume_gib: int = Field(
        default=100,
        ge=1,
        le=_RULES.max_volume_gib,
        description="volume at /opt/sagemaker of each node",
        json_schema_extra=DRAIN,
    )


class Quota(Record):
    """What one group of people may use of the cluster (EKS only)."""

    instances: dict[SourceName, int] = Field(
        min_length=1,
        max_length=_RULES.max_quota_entries,
        description="capacity source to the number of its nodes",
        json_schema_extra=LIVE,
    )
    sharing: Literal["lend", "keep", "lend-and-borrow"] = Field(
        default="lend-and-borrow", description="what happens to idle nodes", json_schema_extra=LIVE
    )
    borrow_percent: int | None = Field(
        default=None,
        ge=0,
        le=_RULES.max_borrow_percent,
        description="how much may be borrowed, in percent of the quota; only with lend-and-borrow. Without it: 50",
        json_schema_extra=LIVE,
    )
    weight: Weight = Field(default=0, description="share of idle nodes, against other quotas", json_schema_extra=LIVE)
    preempt: bool = Field(
        default=True, description="tasks of higher priority stop others of the same group", json_schema_extra=LIVE
    )


class Governance(Record):
    """Who runs first and who may use what (EKS only; Kueue underneath)."""

    priorities: dict[PriorityName, Weight] = Field(
        max_length=_RULES.max_priority_classes,
        description="priority class to its weight; the heavier runs first",
        json_schema_extra=LIVE,
    )
    fair_share: bool = Field(
        default=True, description="idle nodes go to quotas by their weight", json_schema_extra=LIVE
    )
    quotas: dict[QuotaName, Quota] = Field(
        default={}, description="by name of the group; its namespace is hyperpod-ns-<name>", json_schema_extra=LIVE
    )


class HyperPod(Record):
    """The cluster; every capacity source that serves hyperpod is an instance group.

    Nodes are provisioned continuously: the cluster starts with those there are, and goes on asking for the others.
    """

    orchestrator: Literal["eks", "slurm"] = Field(description="what schedules the jobs", json_schema_extra=REPLACE)
    zone: ZoneId = Field(
        description="availability-zone id of the cluster; groups may lie elsewhere", json_schema_extra=REPLACE
    )
    groups: dict[GroupName, HostGroup] = Field(
        default={}, description="groups of nodes without accelerators, by name", json_schema_extra=LIVE
    )
    node_recovery: bool = Field(
        default=True, description="HyperPod reboots and replaces sick nodes", json_schema_extra=LIVE
    )
    deep_health_checks: Distinct[Literal["InstanceStress", "InstanceConnectivity"]] = Field(
        default=("InstanceStress", "InstanceConnectivity"),
        description="run on accelerator nodes before their first job; about two hours. Empty: none",
        json_schema_extra=LIVE,
    )
    tiered_storage_percent: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="share of each node's memory for HyperPod's tiered checkpoints (EKS only). Without it: none",
        json_schema_extra=DRAIN,
    )
    threads_per_core: Literal[1, 2] = Field(
        default=1, description="of accelerator nodes; 1 turns hyper-threading off", json_schema_extra=DRAIN
    )
    scripts: str | None = Field(
        default=None,
        pattern=r"^s3://",
        description="URI of own lifecycle scripts with an on_create.sh; the bucket's name starts with `sagemaker-`."
        " Without it: paceline's scripts, in a bucket of the team",
        json_schema_extra=DRAIN,
    )
    governance: Governance | None = Field(
        default=None, description="task governance (EKS only). Without it: none", json_schema_extra=LIVE
    )
