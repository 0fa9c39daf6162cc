"""Word to people before capacity ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sns as sns
from constructs import Construct

from paceline.catalog.purchases import PurchaseKind, notice

# time to buy more, time to plan the last run, time for the last checkpoint
_LEADS = {"7 days": timedelta(days=7), "1 day": timedelta(days=1), "2 hours": timedelta(hours=2)}

# Detail types of EC2's own events. Sources: EC2 User Guide, capacity-blocks-monitor.html (the warning comes 10 minutes
# before the first instance is taken) and monitor-interruptible-cr.html (2 minutes before).
_BLOCK_EVENTS = ["Capacity Block Reservation Delivered", "Capacity Block Reservation Expiration Warning"]
_INTERRUPTION = "EC2 Interruptible Capacity Reservation Instance Interruption Warning"


@dataclass(frozen=True, kw_only=True, slots=True)
class EndAlarmsProps:
    """`name` is what messages call the capacity. Without `ends` only EC2's own events are passed on."""

    name: str
    purchase: PurchaseKind
    zone_id: str
    reservation: str | None
    starts: datetime | None
    ends: datetime | None
    topic: sns.ITopic


class EndAlarms(Construct):
    """Sends a message 7 days, 1 day and 2 hours before nodes are taken, and passes on what EC2 says about them.

    Nodes are taken half an hour before a Capacity Block ends, and a whole one before an UltraServer block or a training
    plan does; the times count from there. A time before `starts` is left out.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: EndAlarmsProps) -> None:
        super().__init__(scope, construct_id)
        if props.ends is not None:
            taken = (props.ends - notice(props.purchase)).astimezone(UTC)
            for label, lead in _LEADS.items():
                if props.starts is None or taken - lead >= props.starts:
                    self._warn(props, taken, label, taken - lead)
        if props.purchase in ("capacity-block", "ultraserver-block"):
            detail = {"capacity-reservation-id": [props.reservation]}
            self._pass_on(
                props, "Block", events.EventPattern(source=["aws.ec2"], detail_type=_BLOCK_EVENTS, detail=detail)
            )
        elif props.purchase == "odcr-interruptible":  # its event names the zone, not the reservation
            pattern = events.EventPattern(
                source=["aws.ec2"], detail_type=[_INTERRUPTION], detail={"azId": [props.zone_id]}
            )
            self._pass_on(props, "Interruption", pattern)

    def _warn(self, props: EndAlarmsProps, taken: datetime, label: str, at: datetime) -> None:
        events.Rule(
            self,
            f"Before-{label.replace(' ', '-')}",
            description=f"{label} before the nodes of {props.name} are taken",
            schedule=events.Schedule.cron(
                minute=str(at.minute), hour=str(at.hour), day=str(at.day), month=str(at.month), year=str(at.year)
            ),
            targets=[
                targets.SnsTopic(
                    props.topic,
                    message=events.RuleTargetInput.from_text(
                        f"paceline: capacity {props.name}: nodes are taken in {label}, at {taken:%Y-%m-%d %H:%M} UTC"
                    ),
                )
            ],
        )

    def _pass_on(self, props: EndAlarmsProps, name: str, pattern: events.EventPattern) -> None:
        events.Rule(
            self,
            name,
            description=f"What EC2 says about the capacity of {props.name}",
            event_pattern=pattern,
            targets=[targets.SnsTopic(props.topic)],
        )
