"""One source of accelerators: what launches them, and who is told when they end."""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_sns as sns
from constructs import Construct

from paceline.catalog.instance_types import instance_type
from paceline.spec.capacity import CapacityRecord
from paceline.spec.names import TAG_CAPACITY, TAG_TEAM, parameter_capacity
from paceline_constructs.capacity.capacity_source import CapacitySource, CapacitySourceProps
from paceline_constructs.capacity.end_alarms import EndAlarms, EndAlarmsProps
from paceline_constructs.capacity.launch_settings import AMAZON_LINUX_ROOT
from stacks.eks import EksStack
from stacks.foundation import FoundationStack
from stacks.settings import Team
from stacks.slurm import SlurmStack
from stacks.team_stack import TeamStack


class CapacityStack(TeamStack):
    """One per source, so that the end of a reservation replaces a small stack.

    HyperPod launches its nodes by itself: for its sources the stack holds the record and the alarms.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        team: Team,
        name: str,
        foundation: FoundationStack,
        eks: EksStack | None = None,
        slurm: SlurmStack | None = None,
    ) -> None:
        super().__init__(scope, construct_id, team=team, description=f"accelerators {name}")
        self.name, self.settings = name, team.parameters.capacity[name]
        eks = eks if self.settings.serves == "eks" else None
        slurm = slurm if self.settings.serves == "slurm" else None
        self.source = None if self.settings.serves == "hyperpod" else self._source(foundation, eks, slurm)
        if eks and self.source:
            eks.add_nodes(self, name, self.settings.zone, self.source)
        if slurm and self.source:
            slurm.add_nodes(self, name, self.source)
        self._add_alarms(foundation.alerts["critical"])
        self.publish(parameter_capacity(name), self._record().model_dump_json(exclude_none=True))

    def _source(self, foundation: FoundationStack, eks: EksStack | None, slurm: SlurmStack | None) -> CapacitySource:
        settings, row = self.settings, instance_type(self.settings.instance_type)
        layout = row.layout(settings.layout)
        assert layout is not None, "validators/capacity.py refuses types and layouts without wiring"
        return CapacitySource(
            self,
            "Source",
            props=CapacitySourceProps(
                instance_type=row,
                layout=layout,
                zone_id=settings.zone,
                subnet=foundation.network.subnets[settings.zone],
                efa=foundation.efa,
                security_groups=(slurm.nodes,) if slurm else eks.security_groups if eks else (),
                purchase=settings.purchase.kind,
                reservation=self._bought("reservation"),
                placement_group=self._bought("placement_group"),
                ends=self._bought("ends"),
                nodes=settings.nodes,
                min_nodes=settings.min_nodes,
                spares=settings.spares,
                volume_gib=settings.volume_gib,
                root_device=slurm.root_device if slurm else AMAZON_LINUX_ROOT,
                encryption_key=foundation.key,
                user_data=slurm.user_data(row) if slurm else None,
                tags={TAG_TEAM: self.team.name, TAG_CAPACITY: self.name},
            ),
        )

    def _add_alarms(self, topic: sns.ITopic) -> None:
        EndAlarms(
            self,
            "EndAlarms",
            props=EndAlarmsProps(
                name=f"{self.team.name}/{self.name}",
                purchase=self.settings.purchase.kind,
                zone_id=self.settings.zone,
                reservation=self._bought("reservation"),
                starts=self._bought("starts"),
                ends=self._bought("ends"),
                topic=topic,
            ),
        )

    def _record(self) -> CapacityRecord:
        return CapacityRecord(
            **self.settings.model_dump(include={"serves", "instance_type", "zone", "nodes", "min_nodes", "spares"}),
            purchase=self.settings.purchase.kind,
            reservation=self.source.reservation if self.source else self._bought("arn"),
            starts=self._bought("starts"),
            ends=self._bought("ends"),
            launch_template=self.source.launch_template.ref if self.source else None,
        )

    def _bought(self, field: str) -> Any:
        """A field of the purchase, or None for a kind of purchase that lacks it."""
        return getattr(self.settings.purchase, field, None)
