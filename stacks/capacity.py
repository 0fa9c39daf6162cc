"""One source of accelerators: what launches them, and who is told when they end."""

from __future__ import annotations

from datetime import datetime

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_sns as sns
from constructs import Construct

from paceline.catalog.instance_types import instance_type
from paceline.spec.names import TAG_CAPACITY, TAG_TEAM, parameter_capacity_launch_template
from paceline_constructs.capacity.capacity_source import CapacitySource, CapacitySourceProps
from paceline_constructs.capacity.end_alarms import EndAlarms, EndAlarmsProps
from stacks.foundation import FoundationStack
from stacks.settings import Team
from stacks.settings.capacity import CapacitySource as Source
from stacks.team_stack import TeamStack


class CapacityStack(TeamStack):
    """One per source, so that the end of a reservation replaces a small stack.

    HyperPod launches its nodes by itself: for its sources the stack holds the alarms alone. Without `alerts` there are
    none.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        team: Team,
        name: str,
        source: Source,
        foundation: FoundationStack,
        alerts: sns.ITopic | None = None,
    ) -> None:
        super().__init__(scope, construct_id, team=team, description=f"accelerators {name}")
        if alerts is not None:
            EndAlarms(
                self,
                "EndAlarms",
                props=EndAlarmsProps(
                    name=f"{team.name}/{name}",
                    purchase=source.purchase.kind,
                    zone_id=source.zone,
                    reservation=_text(source, "reservation"),
                    starts=_time(source, "starts"),
                    ends=_time(source, "ends"),
                    topic=alerts,
                ),
            )
        if source.serves != "hyperpod":
            self.source = self._source(name, source, foundation, ())

    def _source(
        self, name: str, source: Source, foundation: FoundationStack, groups: tuple[ec2.ISecurityGroup, ...]
    ) -> CapacitySource:
        row = instance_type(source.instance_type)
        layout = row.layout(source.layout)
        assert layout is not None  # a validator's business
        made = CapacitySource(
            self,
            "Source",
            props=CapacitySourceProps(
                instance_type=row,
                layout=layout,
                zone_id=source.zone,
                subnet=foundation.network.subnets[source.zone],
                efa=foundation.efa,
                security_groups=groups,
                purchase=source.purchase.kind,
                reservation=_text(source, "reservation"),
                placement_group=_text(source, "placement_group"),
                ends=_time(source, "ends"),
                nodes=source.nodes,
                min_nodes=source.min_nodes,
                spares=source.spares,
                volume_gib=source.volume_gib,
                encryption_key=foundation.key,
                tags={TAG_TEAM: self.team.name, TAG_CAPACITY: name},
            ),
        )
        self.publish(parameter_capacity_launch_template(name), made.launch_template.ref)
        return made


def _text(source: Source, field: str) -> str | None:
    value: str | None = getattr(source.purchase, field, None)
    return value


def _time(source: Source, field: str) -> datetime | None:
    value: datetime | None = getattr(source.purchase, field, None)
    return value
