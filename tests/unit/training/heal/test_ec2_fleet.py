"""What EC2 says about a machine, and what it means for its node."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.heal.fleets.ec2 import Ec2Fleet, read_status
from paceline.heal.fleets.simulated import SimulatedFleet
from paceline.spec.errors import ClusterError
from paceline.spec.healing import Answer
from paceline.spec.health import Action, Finding, Result

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def status(key: str, *, minutes: float) -> dict[str, Any]:
    since = NOW - timedelta(minutes=minutes)
    detail = {"Name": "reachability", "Status": "failed", "ImpairedSince": since}
    healthy = {k: {"Status": "ok", "Details": [{"Name": "reachability", "Status": "passed"}]} for k in KEYS}
    return {"InstanceId": "i-0", "Events": []} | healthy | {key: {"Status": "impaired", "Details": [detail]}}


KEYS = ("SystemStatus", "InstanceStatus", "AttachedEbsStatus")
HEALTHY = {
    "InstanceId": "i-0",
    "SystemStatus": {"Status": "ok", "Details": [{"Name": "reachability", "Status": "passed"}]},
    "InstanceStatus": {"Status": "initializing", "Details": [{"Name": "reachability", "Status": "initializing"}]},
    "AttachedEbsStatus": {"Status": "insufficient-data", "Details": []},
}


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("SystemStatus", "ec2.system_status"),
        ("InstanceStatus", "ec2.instance_status"),
        ("AttachedEbsStatus", "ec2.ebs_status"),
    ],
)
def test_a_status_that_stays_impaired_is_a_fault(key: str, fault: str) -> None:
    [finding] = read_status("n0", status(key, minutes=4), NOW)
    assert (finding.node, finding.result, finding.fault) == ("n0", Result.FAIL, fault)
    assert "failed since 2026-11-21 11:56:00 UTC" in finding.evidence
    assert read_status("n0", status(key, minutes=2), NOW) == []


def test_a_machine_that_starts_or_is_well_has_no_finding() -> None:
    assert read_status("n0", HEALTHY, NOW) == []


def event(code: str, description: str = "The instance is running on degraded hardware") -> dict[str, Any]:
    return HEALTHY | {"Events": [{"Code": code, "Description": description, "NotBefore": NOW, "InstanceEventId": "e"}]}


def test_a_scheduled_event_is_a_fault_until_it_is_over() -> None:
    [finding] = read_status("n0", event("instance-retirement"), NOW)
    assert finding.fault == "ec2.instance-retirement"
    assert "degraded hardware" in finding.evidence
    assert read_status("n0", event("instance-retirement", "[Completed] it was retired"), NOW) == []
    assert read_status("n0", event("instance-stop", "[Canceled] it need not"), NOW) == []


def test_an_event_that_nobody_knows_is_unknown() -> None:
    [finding] = read_status("n0", event("instance-levitation"), NOW)
    assert finding.result is Result.UNKNOWN
    assert "ec2.instance-levitation is not in the catalog" in finding.evidence


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(NOW),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*KEYS, "Events", "Details", "Status", "Code"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*KEYS, "Events"]), JSON, max_size=4))
def test_garbage_is_never_a_fault(item: dict[str, Any]) -> None:
    assert {finding.result for finding in read_status("n0", item, NOW)} <= {Result.UNKNOWN}


class FakeEc2:
    capabilities = frozenset((Action.REBOOT, Action.REPLACE))

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []
        self.items: list[dict[str, Any]] = []
        self.refuses = False

    def status(self, machines: Sequence[str]) -> list[dict[str, Any]]:
        self.asked.append(machines)
        if self.refuses:
            raise ClusterError("ec2:DescribeInstanceStatus: UnauthorizedOperation")
        return self.items

    def reboot(self, machine: str) -> None: ...

    def replace(self, machine: str) -> None: ...

    def resize(self, nodes: int) -> bool:
        return False


def test_the_fleet_hears_it_beside_what_agents_say_and_asks_no_more_than_it_must() -> None:
    scheduler = SimulatedFleet(["n0", "n1"], NOW, durations={}, test=lambda node, order: (0, Answer.model_construct()))
    said = Finding(node="n0", check="gpu-xid", result=Result.FAIL, time=NOW, fault="nvidia.xid.79")
    scheduler.report(said)
    ec2, time = FakeEc2(), [0.0]
    ec2.items = [event("instance-stop") | {"InstanceId": "machine-1"}]
    fleet = Ec2Fleet(scheduler, ec2, period=60, clock=lambda: time[0])

    first, second = fleet.nodes()
    assert [finding.fault for finding in first.findings] == ["nvidia.xid.79", "ec2.instance-stop"]
    assert second.findings == ()
    time[0] = 59
    fleet.nodes()
    assert ec2.asked == [["machine-1", "machine-2"]]

    time[0], ec2.refuses = 60, True
    first, second = fleet.nodes()
    assert [finding.result for finding in first.findings] == [Result.FAIL, Result.UNKNOWN]
    assert "UnauthorizedOperation" in second.findings[0].evidence
