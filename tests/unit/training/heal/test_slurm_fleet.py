from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from paceline.heal.fleets.slurm import SlurmFleet
from paceline.spec.healing import Answer, Case, Measurement, Order, Phase, Rung
from paceline.spec.health import Action, Finding, Result

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class FakeSlurm:
    """Records of a cluster, in the form of Slurm 24.11 or, with `old`, of 22.05; and the commands it was given."""

    def __init__(self, old: bool = False) -> None:
        self.old = old
        self.commands: list[tuple[str, dict[str, str]]] = []
        self.reservations: list[dict[str, Any]] = []
        self.jobs: list[dict[str, Any]] = []
        self.nodes = [self._node("node1", "ALLOCATED"), self._node("node2", "IDLE")]

    def _node(self, name: str, *states: str) -> dict[str, Any]:
        if self.old:
            state, flags = states[0].lower(), list(states[1:])
            return {"name": name, "state": state, "state_flags": flags, "boot_time": 1_790_000_000, "extra": ""}
        boot = {"set": True, "infinite": False, "number": 1_790_000_000}
        return {"name": name, "state": list(states), "boot_time": boot, "extra": "", "comment": ""}

    def show(self, kind: str) -> list[dict[str, Any]]:
        return {"nodes": self.nodes, "jobs": self.jobs, "reservations": self.reservations}[kind]

    def update(self, **fields: str) -> None:
        self.commands.append(("update", fields))
        for node in self.nodes:
            if node["name"] == fields.get("NodeName") and "Extra" in fields:
                node["extra"] = fields["Extra"]

    def create(self, **fields: str) -> None:
        self.commands.append(("create", fields))
        self.reservations.append({"name": fields["ReservationName"]})

    def delete(self, **fields: str) -> None:
        self.commands.append(("delete", fields))
        self.reservations = [item for item in self.reservations if item["name"] != fields["ReservationName"]]

    def reboot(self, node: str, reason: str) -> None:
        self.commands.append(("reboot", {"node": node, "reason": reason}))


def fleet(slurm: FakeSlurm) -> SlurmFleet:
    return SlurmFleet(slurm, machines=None, test_minutes=180)


def case(*peers: str, boot: str | None = None) -> Case:
    return Case(
        boot=boot,
        id="c",
        node="node1",
        finding=None,
        action=Action.REBOOT,
        reason="nvidia.xid.79",
        opened=NOW,
        phase=Phase.TESTING,
        since=NOW,
        peers=peers,
    )


@pytest.mark.parametrize("old", [False, True])
def test_both_forms_of_records_are_understood(old: bool) -> None:
    slurm = FakeSlurm(old)
    slurm.nodes.append(slurm._node("node3", "DOWN", "NOT_RESPONDING") | {"reason_changed_at": 1_790_000_100})

    one, two, three = fleet(slurm).nodes()

    assert (one.busy, one.cordoned, one.boot) == (True, False, "1790000000")
    assert (two.busy, two.proven) == (False, True)
    assert three.cordoned
    assert three.silent_since == datetime.fromtimestamp(1_790_000_100, UTC)


def test_a_sick_node_is_set_down_so_that_its_jobs_go_on_elsewhere_at_once() -> None:
    slurm = FakeSlurm()
    healed = fleet(slurm)
    healed.nodes()
    healed.write("node1", case())
    healed.cordon("node1", "nvidia.xid.79")
    healed.drain("node1")

    assert slurm.commands[-2:] == [
        ("update", {"NodeName": "node1", "State": "DRAIN", "Reason": "paceline: nvidia.xid.79"}),
        ("update", {"NodeName": "node1", "State": "DOWN", "Reason": "paceline: nvidia.xid.79"}),
    ]


@pytest.mark.parametrize("number", [lambda n: n, lambda n: {"set": True, "number": n}])
def test_the_hold_of_a_requeued_job_is_released_and_nobody_elses(number: Any) -> None:
    slurm = FakeSlurm()
    pending: dict[str, Any] = {"job_state": ["PENDING"], "state_reason": "BeginTime"}
    slurm.jobs = [
        pending | {"job_id": 7, "restart_cnt": number(1)},
        pending | {"job_id": 8, "restart_cnt": number(0)},  # its owner asked for a begin time
        pending | {"job_id": 9, "restart_cnt": number(1), "state_reason": "Resources"},
    ]
    fleet(slurm).nodes()
    assert slurm.commands == [("update", {"JobId": "7", "StartTime": "now"})]


def test_the_case_survives_and_what_the_agent_and_people_wrote_is_left_alone() -> None:
    slurm = FakeSlurm()
    finding = Finding(node="node1", check="xid", result=Result.FAIL, time=NOW, fault="nvidia.xid.79")
    slurm.nodes[0]["comment"] = json.dumps({"paceline.dev/findings": [finding.model_dump(mode="json")]})
    slurm.nodes[1]["extra"] = "rack 7, call Anna"
    healed = fleet(slurm)
    healed.nodes()

    healed.write("node1", case())

    one, two = fleet(slurm).nodes()  # another controller
    assert (one.case, one.findings) == (case(), (finding,))
    assert two.case is None
    healed.write("node1", None)
    assert slurm.nodes[0]["extra"] == "{}"


def test_peers_of_a_test_are_reserved_once_without_the_maintenance_flag_and_released() -> None:
    slurm = FakeSlurm()
    order = Order(id="c.0.pair.0", rung=Rung.PAIR, peers=("node2",))
    for _ in range(2):  # a controller, and its successor
        healed = fleet(slurm)
        healed.nodes()
        healed.write("node1", case("node2"))
        healed.order("node1", order)

    [created] = [fields for verb, fields in slurm.commands if verb == "create"]
    assert (created["Nodes"], created["Duration"]) == ("node2", "180")
    assert "MAINT" not in created["Flags"]
    healed.write("node1", case())
    assert slurm.reservations == []


def test_without_a_provider_slurm_reboots_and_nobody_replaces() -> None:
    slurm = FakeSlurm()
    healed = fleet(slurm)
    [node, _] = healed.nodes()
    healed.reboot(node)
    assert slurm.commands == [("reboot", {"node": "node1", "reason": "paceline: reboot"})]
    assert Action.REPLACE not in healed.capabilities


@pytest.mark.parametrize(("told", "boot"), [(-3, "1790000000"), (3, "1790000000"), (90, "1790000090")])
def test_a_boot_time_that_moves_by_seconds_is_the_same_boot(told: int, boot: str) -> None:
    slurm = FakeSlurm()
    healed = fleet(slurm)
    healed.nodes()
    healed.write("node1", case(boot="1790000000"))
    slurm.nodes[0]["boot_time"]["number"] += told

    assert healed.nodes()[0].boot == boot


def test_an_answer_with_measurements_of_a_node_without_a_type_is_understood() -> None:
    measured = Measurement(
        test="fabric-pair", instance_type=None, nodes=2, payload=1, library="gloo", speed=1.0, fault="deep.fabric_slow"
    )
    answer = Answer(id="c.0.pair.0", result=Result.PASS, measurements=(measured,))
    slurm = FakeSlurm()
    note = answer.model_dump(mode="json", exclude_none=True)  # as the agent writes it
    slurm.nodes[0]["comment"] = json.dumps({"paceline.dev/answer": note})
    assert fleet(slurm).nodes()[0].answer == answer
