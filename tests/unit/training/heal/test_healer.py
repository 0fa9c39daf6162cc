"""Incidents from signal to readmission, in virtual time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from paceline.clients.object_store import DirectoryStore
from paceline.heal.case import readmitted
from paceline.heal.fleets.base import Node
from paceline.heal.fleets.simulated import SimulatedFleet
from paceline.heal.healer import Healer, Round
from paceline.heal.memory import Memory
from paceline.heal.policy import Policy, load_policy
from paceline.heal.progress import advance
from paceline.spec.healing import Answer, Case, Measurement, Order, Phase, Rung
from paceline.spec.health import Action, Device, Finding, Result

START = datetime(2026, 11, 21, tzinfo=UTC)


class Scene:
    """Five nodes and a healer. `answers` are what the tests say, by rung; a rung that is missing never ends."""

    def __init__(self, directory: Path, *, nodes: int = 5, policy: Policy | None = None, dry_run: bool = False) -> None:
        self.now = START
        self.answers: dict[Rung | None, Result] = dict.fromkeys((None, *Rung), Result.PASS)
        self.orders: list[Order] = []
        self.measured: list[Measurement] = []
        self.speeds: dict[str, float] = {}
        self.told: list[tuple[str, dict[str, object]]] = []
        self.store = DirectoryStore(directory)
        self.policy = policy or load_policy()
        self.dry_run = dry_run
        self.fleet = SimulatedFleet(
            [f"n{number}" for number in range(nodes)],
            START,
            durations={Action.REBOOT: lambda: 120, Action.REPLACE: lambda: 1500},
            test=self.test,
        )
        self.restart()

    def restart(self) -> None:
        self.healer = Healer(
            self.fleet,
            policy=self.policy,
            memory=Memory(self.store, START),
            store=self.store,
            tell=lambda kind, **fields: self.told.append((kind.__name__, fields)),
            dry_run=self.dry_run,
        )

    def test(self, node: Node, order: Order) -> tuple[float, Answer]:
        self.orders.append(order)
        measured = tuple(m.model_copy(update={"speed": self.speeds.get(node.name, 40)}) for m in self.measured)
        if order.rung not in self.answers:
            return 1e7, Answer(id=order.id, result=Result.PASS)
        result = self.answers[order.rung]
        findings = (self.finding(node.name, "nvidia.xid.79"),) if result is Result.FAIL else ()
        return 10, Answer(id=order.id, result=result, findings=findings, measurements=measured)

    def finding(self, node: str, code: str, serial: str | None = None) -> Finding:
        device = Device(kind="gpu", index=0, serial=serial)
        return Finding(
            node=node,
            check="xid",
            result=Result.FAIL,
            time=self.now,
            fault=code,
            device=device,
            evidence="NVRM: Xid (PCI:0000:53:00): 79, GPU has fallen off the bus.",
        )

    def round(self, seconds: float = 5) -> Round:
        self.now += timedelta(seconds=seconds)
        self.fleet.pass_time(self.now)
        return self.healer.round(self.now)

    def node(self, name: str) -> Node:
        return next(node for node in self.fleet.nodes() if node.name == name)

    def phases(self, name: str, rounds: int = 400) -> list[str]:
        """The phases and rungs that a node goes through, until nothing changes for long."""
        seen: list[str] = []
        for _ in range(rounds):
            self.round(30)
            case = self.node(name).case
            now = f"{case.phase}:{case.rung or case.action.name.lower()}" if case else "in service"
            if not seen or seen[-1] != now:
                seen.append(now)
        return seen

    def actions(self) -> list[str]:
        return [action.name.lower() for action, *_ in self.fleet.done]


def test_a_lost_gpu_is_rebooted_tested_and_comes_back(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.fleet.occupy("n2", True)
    scene.fleet.report(scene.finding("n2", "nvidia.xid.79"))

    assert scene.phases("n2") == [
        "draining:reboot",
        "acting:reboot",
        "testing:single",
        "testing:pair",
        "in service",
    ]
    assert scene.actions() == ["reboot"]
    assert not scene.node("n2").cordoned
    said = [str(fields.get("reason", kind)) for kind, fields in scene.told]
    evidence = said.pop(3)
    assert evidence.startswith("out of service; evidence is in file://")
    assert said == [
        "FaultDetected",
        "FaultClassified",
        "nvidia.xid.79: its maker calls for reboot",
        "ActionStarted",
        "the single test, alone",
        "the pair test, with n0",
        "it passed its tests and is back in service",
        "ActionFinished",
    ]


def test_the_evidence_is_kept_before_anything_is_done(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.fleet.report(scene.finding("n2", "nvidia.xid.79", serial="1650"))
    scene.round()

    [incident] = tmp_path.glob("evidence/*/incident.json")
    assert "fallen off the bus" in json.loads(incident.read_text())["finding"]["evidence"]
    letter = (incident.parent / "support.txt").read_text()
    assert "nvidia.xid.79" in letter
    assert "gpu 0, serial 1650" in letter
    assert scene.node("n2").case is not None
    assert scene.node("n2").case.finding is not None  # type: ignore[union-attr]
    assert scene.node("n2").case.finding.evidence == ""  # type: ignore[union-attr]


def test_a_node_that_fails_its_test_climbs_the_ladder_until_a_person_has_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.answers[Rung.SINGLE] = Result.FAIL
    scene.fleet.report(scene.finding("n2", "nvidia.xid.79"))

    assert scene.phases("n2")[-1].startswith("isolated")
    assert scene.actions() == ["reboot", "reboot", "replace"]
    assert scene.node("n2").cordoned


def test_a_person_lets_an_isolated_node_try_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.answers[Rung.SINGLE] = Result.FAIL
    scene.fleet.report(scene.finding("n2", "nvidia.xid.79"))
    scene.phases("n2")
    scene.answers[Rung.SINGLE] = Result.PASS
    case = scene.node("n2").case
    assert case is not None

    scene.fleet.write("n2", readmitted(case, scene.now))

    assert scene.phases("n2") == ["testing:single", "testing:pair", "testing:multi", "in service"]


def test_a_machine_that_does_not_come_back_is_replaced(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.fleet._durations[Action.REBOOT] = lambda: 1e8
    scene.fleet.report(scene.finding("n2", "nvidia.xid.79"))

    assert scene.phases("n2", 800)[-1] == "in service"
    assert scene.actions()[-1] == "replace"


def test_a_silent_node_is_a_fault_only_after_a_while(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.fleet.silence("n3")
    scene.round(299)
    assert scene.node("n3").case is None
    scene.round(2)
    assert scene.actions() == ["reboot"]


def test_a_rung_that_nobody_can_join_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.fleet.report(scene.finding("n0", "nvidia.xid.79"))
    scene.round()
    for number in range(1, 5):  # by a job that may be waiting for n0
        scene.fleet.occupy(f"n{number}", True)

    assert scene.phases("n0")[-2:] == ["testing:pair", "in service"]
    said = [str(fields["reason"]) for kind, fields in scene.told if kind == "ActionDecided"]
    assert "the pair test is left out: too few proven nodes were idle for 900 s" in said


def test_a_test_that_never_ends_ends_with_a_person(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    del scene.answers[Rung.SINGLE]
    scene.fleet.report(scene.finding("n0", "nvidia.xid.79"))

    assert scene.phases("n0", 1000)[-2:] == ["testing:single", "isolated:single"]
    case = scene.node("n0").case
    assert case is not None
    assert "no result of the single test" in case.reason


def test_a_test_that_could_not_tell_is_run_again_and_never_convicts(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.answers[Rung.PAIR] = Result.UNKNOWN
    scene.fleet.report(scene.finding("n2", "nvidia.xid.79"))
    while len(pairs := [order for order in scene.orders if order.rung is Rung.PAIR]) < 2:
        scene.round(30)
    scene.answers[Rung.PAIR] = Result.PASS
    assert scene.phases("n2")[-1] == "in service"
    assert scene.actions() == ["reboot"]
    assert pairs[0].id != pairs[1].id
    assert pairs[0].peers != pairs[1].peers


def test_a_test_that_never_can_tell_is_a_persons(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.answers[Rung.PAIR] = Result.UNKNOWN
    scene.fleet.report(scene.finding("n2", "nvidia.xid.79"))
    assert scene.phases("n2")[-1].startswith("isolated")
    assert sum(order.rung is Rung.PAIR for order in scene.orders) == scene.policy.test_tries
    case = scene.node("n2").case
    assert case is not None
    assert "could not tell, 3 times" in case.reason
    assert scene.actions() == ["reboot"]


def test_a_node_that_is_slower_than_its_fleet_does_not_come_back(tmp_path: Path) -> None:
    scene = Scene(tmp_path, nodes=8)
    scene.measured = [
        Measurement(
            test="fabric-pair", instance_type=None, nodes=2, payload=2**24, library="gloo", speed=0,
            fault="deep.fabric_slow",
        )
    ]  # fmt: skip
    for number in range(6):  # the fleet learns what is usual
        scene.fleet.report(scene.finding(f"n{number}", "nvidia.xid.79"))
        assert scene.phases(f"n{number}", rounds=130)[-1] == "in service"
    scene.speeds["n7"] = 30
    scene.fleet.report(scene.finding("n7", "nvidia.xid.79"))
    scene.phases("n7", rounds=130)
    assert ("replace", "n7") in [(action.name.lower(), name) for action, name, _ in scene.fleet.done]
    reasons = [str(fields["reason"]) for kind, fields in scene.told if kind == "ActionDecided"]
    assert "deep.fabric_slow: its maker calls for replace" in reasons
    [slow] = [str(f["evidence"]) for kind, f in scene.told if kind == "FaultDetected" and f["node"] == "n7"][1:2]
    assert slow.startswith("30 GB/s, where the median of 6 other machines is 40")


def test_partners_on_the_same_leaf_are_preferred_and_the_nodes_are_told_where_to_meet(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in range(5):
        scene.fleet.place(f"n{number}", leaf="nn-1" if number in (2, 4) else "nn-0", address=f"10.0.0.{number}")
    scene.fleet.report(scene.finding("n2", "nvidia.xid.79"))
    scene.phases("n2", rounds=30)
    [pair] = [order for order in scene.orders if order.rung is Rung.PAIR]
    assert pair.peers == ("n4",)
    assert pair.meeting is not None
    assert (pair.meeting.nodes, pair.meeting.host) == (("n2", "n4"), "10.0.0.2")


def test_two_patients_do_not_share_a_partner(tmp_path: Path) -> None:
    scene = Scene(tmp_path, nodes=20)
    del scene.answers[Rung.PAIR]
    for name in ("n2", "n3"):
        scene.fleet.report(scene.finding(name, "nvidia.xid.79"))
    for _ in range(20):
        scene.round(30)
    partners = [order.peers for order in scene.orders if order.rung is Rung.PAIR]
    assert len(partners) == 2
    assert not set(partners[0]) & set(partners[1])


def test_the_gravest_of_several_faults_decides(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.fleet.report(scene.finding("n2", "nvidia.xid.46").model_copy(update={"check": "reset"}))
    scene.fleet.report(scene.finding("n2", "nvidia.xid.79"))
    scene.round()
    case = scene.node("n2").case
    assert case is not None
    assert case.action is Action.REBOOT


def test_a_burst_counts_once_and_repetition_acts(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    code = "nvidia.sxid.10001"
    for _ in range(scene.policy.repeats + 3):
        scene.fleet.report(scene.finding("n2", code))
        scene.round(20)
    assert len([r for r in Memory(scene.store, START).remedies() if r.fault == code]) == 1


def test_a_dry_run_decides_and_touches_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, dry_run=True)
    before = scene.fleet.nodes()
    scene.fleet.report(scene.finding("n2", "nvidia.xid.79"))
    for _ in range(3):
        scene.round()
    decided = [fields["action"] for kind, fields in scene.told if kind == "ActionDecided"]
    assert decided == ["reboot"]
    assert [node.case for node in scene.fleet.nodes()] == [node.case for node in before]
    assert not list(tmp_path.iterdir())


def test_what_is_held_is_said_once_and_done_when_there_is_room(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.fleet.report(scene.finding("n1", "nvidia.xid.79"))
    scene.fleet.report(scene.finding("n2", "nvidia.xid.79"))
    assert scene.round().held == 1
    assert scene.round().held == 1
    held = [f for kind, f in scene.told if kind == "ActionDecided" and "held:" in str(f["reason"])]
    assert [fields["target"] for fields in held] == ["n2"]
    for _ in range(15):
        scene.round(30)
    assert scene.actions() == ["reboot", "reboot"]


def test_a_node_that_joins_is_tested_first_and_a_full_fleet_tops_up(tmp_path: Path) -> None:
    policy = load_policy().model_copy(update={"top_up": True, "failures_per_1000_node_days": 200})
    scene = Scene(tmp_path, policy=policy)
    for number in range(5):
        scene.fleet.occupy(f"n{number}", True)
    assert scene.round().wanted == 1
    joined = [node for node in scene.fleet.nodes() if node.untested]
    assert len(joined) == 1
    scene.fleet.occupy("n0", False)
    scene.fleet.occupy("n1", False)
    scene.fleet.occupy("n2", False)
    assert scene.phases(joined[0].name) == ["testing:single", "testing:pair", "testing:multi", "in service"]


@pytest.mark.parametrize("rounds", range(1, 14))
def test_another_healer_goes_on_where_the_last_one_was(tmp_path: Path, rounds: int) -> None:
    scene = Scene(tmp_path)
    scene.fleet.report(scene.finding("n2", "nvidia.xid.79"))
    for _ in range(rounds):
        scene.round(30)
    scene.restart()
    assert scene.phases("n2")[-1] == "in service"
    assert scene.actions() == ["reboot"]


def test_what_a_test_found_holds_for_as_long_as_the_next_action_is_held() -> None:
    """Found by a simulated switch: 32 nodes at once, 20 actions an hour, and findings that went stale meanwhile."""
    finding = Finding(node="n2", check="gpu", result=Result.FAIL, time=START, fault="nvidia.xid.79")
    case = Case(
        id="i",
        node="n2",
        finding=finding,
        action=Action.REBOOT,
        reason="it was due",
        opened=START,
        phase=Phase.TESTING,
        since=START,
        rung=Rung.SINGLE,
    )
    answer = Answer(id=case.order_id, result=Result.FAIL, findings=(finding,))
    node = Node(
        name="n2",
        machine="m",
        boot="b",
        silent_since=None,
        cordoned=True,
        busy=False,
        case=case,
        answer=answer,
    )
    now = START + timedelta(hours=1)

    step = advance(node, [node], load_policy(), now)

    assert [found.time for found in step.findings] == [now]
