"""Who hears of the end of capacity, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.catalog.purchases import PurchaseKind, notice
from paceline_constructs.capacity.end_alarms import EndAlarms, EndAlarmsProps

END = datetime(2026, 12, 15, 11, 30, tzinfo=UTC)


def alarms(**changes: Any) -> dict[str, dict[str, Any]]:
    """The rules by logical id, of a Capacity Block unless changed."""
    stack = Stack(App(builtin_cloud_formation_validation=False), "Bench")
    settings: dict[str, Any] = {
        "name": "vision/block",
        "purchase": "capacity-block",
        "zone_id": "use1-az1",
        "reservation": "cr-0123456789abcdef0",
        "starts": datetime(2026, 12, 1, 11, 30, tzinfo=UTC),
        "ends": END,
        "topic": sns.Topic.from_topic_arn(stack, "Topic", "arn:aws:sns:us-east-1:123456789012:alarms"),
    }
    EndAlarms(stack, "End", props=EndAlarmsProps(**(settings | changes)))
    rules = Template.from_stack(stack).find_resources("AWS::Events::Rule")
    return {name: rule["Properties"] for name, rule in rules.items()}


def times(**changes: Any) -> set[str]:
    return {rule["ScheduleExpression"] for rule in alarms(**changes).values() if "ScheduleExpression" in rule}


def test_the_times_count_from_when_nodes_are_taken() -> None:
    """Half an hour before the end of a block, an hour before that of UltraServers and training plans."""
    assert times() == {"cron(0 11 8 12 ? 2026)", "cron(0 11 14 12 ? 2026)", "cron(0 9 15 12 ? 2026)"}
    assert "cron(30 8 15 12 ? 2026)" in times(purchase="ultraserver-block")
    assert "cron(30 8 15 12 ? 2026)" in times(purchase="training-plan")
    assert "cron(30 9 15 12 ? 2026)" in times(purchase="odcr-attached")


def test_times_are_utc() -> None:
    assert times(ends=datetime.fromisoformat("2026-12-15T12:30:00+01:00")) == times()


def test_a_short_block_has_no_alarm_before_its_start() -> None:
    assert times(starts=datetime(2026, 12, 14, 11, 30, tzinfo=UTC)) == {"cron(0 9 15 12 ? 2026)"}


@pytest.mark.parametrize(("early", "told"), [(timedelta(0), 3), (timedelta(minutes=-1), 3), (timedelta(minutes=1), 2)])
def test_an_alarm_at_the_very_start_is_sent(early: timedelta, told: int) -> None:
    """The block begins exactly seven days before its nodes are taken, or a minute beside it."""
    assert len(times(starts=END - timedelta(minutes=30) - timedelta(days=7) + early)) == told


@settings(max_examples=25)  # each synthesizes a stack
@given(
    ends=st.datetimes(
        min_value=datetime(2026, 12, 1),
        max_value=datetime(2040, 3, 1),
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=11))]),
    ),
    lasts=st.timedeltas(min_value=timedelta(minutes=1), max_value=timedelta(days=200)),
    purchase=st.sampled_from(["capacity-block", "ultraserver-block", "training-plan", "odcr-attached"]),
)
def test_every_alarm_comes_in_time(ends: datetime, lasts: timedelta, purchase: PurchaseKind) -> None:
    """Never late, never more than a minute early, never before the start; none is missing that could be sent."""
    starts, taken = ends - lasts, ends - notice(purchase)
    told = sorted(
        datetime.strptime(time, "cron(%M %H %d %m ? %Y)").replace(tzinfo=UTC)
        for time in times(starts=starts, ends=ends, purchase=purchase)
    )
    leads = (timedelta(days=7), timedelta(days=1), timedelta(hours=2))
    due = [taken - lead for lead in leads if taken - lead >= starts]
    assert len(told) == len(due)
    assert all(timedelta(0) <= exact - sent < timedelta(minutes=1) for exact, sent in zip(due, told, strict=True))


def test_without_an_end_nobody_is_told() -> None:
    assert alarms(purchase="odcr", starts=None, ends=None, reservation=None) == {}


def test_the_message_says_what_and_when() -> None:
    [rule] = [rule for rule in alarms().values() if rule.get("ScheduleExpression") == "cron(0 11 14 12 ? 2026)"]
    [target] = rule["Targets"]
    assert target["Input"] == '"paceline: capacity vision/block: nodes are taken in 1 day, at 2026-12-15 11:00 UTC"'


def test_what_ec2_says_of_the_block_is_passed_on() -> None:
    [rule] = [rule for rule in alarms().values() if "EventPattern" in rule]
    assert rule["EventPattern"] == {
        "source": ["aws.ec2"],
        "detail-type": ["Capacity Block Reservation Delivered", "Capacity Block Reservation Expiration Warning"],
        "detail": {"capacity-reservation-id": ["cr-0123456789abcdef0"]},
    }


def test_the_return_of_lent_capacity_is_passed_on() -> None:
    [rule] = alarms(purchase="odcr-interruptible", starts=None, ends=None).values()
    assert rule["EventPattern"]["detail"] == {"azId": ["use1-az1"]}
