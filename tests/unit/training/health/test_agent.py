"""The agent: what stands, whom it tells, what it exports, and its budget."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from paceline.clients.kubernetes import Object
from paceline.clients.slurm import SlurmNode
from paceline.health import agent as agent_module
from paceline.health.agent import CPU_BUDGET, Agent, stretched
from paceline.health.base import Node
from paceline.health.bookmark import Bookmark
from paceline.health.errand import carry_out
from paceline.health.probe import HostProbe
from paceline.health.publish.base import Desk
from paceline.health.publish.kubernetes import KubernetesPublisher
from paceline.health.publish.slurm import SlurmPublisher
from paceline.health.publish.supervisor import SupervisorPublisher
from paceline.health.standing import Standing
from paceline.journal.exposition import serve
from paceline.journal.writer import Journal
from paceline.spec.healing import Answer, Order, Rung
from paceline.spec.health import Device, Finding, Result, Verdict
from paceline.spec.names import (
    ANNOTATION_ANSWER,
    ANNOTATION_ORDER,
    CONDITION_HEALTHY,
    HEALTH_SOCKET,
    TAINT_UNHEALTHY,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
XID_79 = "3,{},89990000000,-;NVRM: Xid (PCI:0000:86:00): 79, GPU has fallen off the bus.\n"


def failure(fault: str, check: str = "gpu-xid", time: datetime = NOW, index: int = 0) -> Finding:
    device = Device(kind="gpu", index=index)
    return Finding(
        node="n1", check=check, result=Result.FAIL, time=time, fault=fault, device=device, evidence=f"saw {fault}"
    )


def standing(*faults: str) -> Standing:
    stands = Standing()
    stands.take("gpu-xid", [failure(fault) for fault in faults], happened=True)
    return stands


def test_a_state_holds_until_its_check_no_longer_finds_it() -> None:
    stands = Standing()
    finding = failure("nvidia.smi.count", "gpu-count")

    assert stands.take("gpu-count", [finding], happened=False) == [finding]
    assert stands.take("gpu-count", [finding], happened=False) == []  # no news
    assert stands.unfit() == finding
    stands.take("gpu-count", [], happened=False)
    assert stands.unfit() is None


def test_what_happened_holds_for_two_hours_or_until_the_node_is_repaired() -> None:
    stands = standing("nvidia.xid.79")
    stands.take("gpu-xid", [], happened=True)
    assert stands.unfit() is not None
    assert not stands.expire(NOW + timedelta(hours=1))
    assert stands.expire(NOW + timedelta(hours=3))
    assert stands.unfit() is None
    assert standing("nvidia.xid.79").forget()


def test_the_worst_stands_first_and_an_application_fault_takes_no_node() -> None:
    stands = standing("nvidia.xid.13", "nvidia.xid.95", "nvidia.xid.79")
    assert [f.fault for f in stands.failures()] == ["nvidia.xid.79", "nvidia.xid.95", "nvidia.xid.13"]
    assert standing("nvidia.xid.13", "nvidia.xid.172").unfit() is None


@pytest.mark.parametrize(
    ("now", "share", "then"),
    [(1.0, 0.001, 1.0), (1.0, 0.02, 2.0), (16.0, 0.02, 16.0), (4.0, 0.004, 4.0), (4.0, 0.001, 2.0), (1.0, 0.005, 1.0)],
)
def test_rhythms_are_stretched_to_keep_the_budget(now: float, share: float, then: float) -> None:
    assert CPU_BUDGET == 0.005
    assert stretched(now, share) == then


class FakeKubernetes:
    def __init__(self) -> None:
        self.object: Object = {"metadata": {"annotations": {}}, "spec": {}, "status": {"conditions": []}}
        self.edits = 0

    def node(self, name: str) -> Object:
        assert name == "n1"
        return self.object

    def edit_node(self, name: str, edit: Callable[[Object], None]) -> Object:
        self.edits += 1
        edit(self.object)
        return self.object

    def set_condition(self, name: str, condition: Object) -> None:
        self.object["status"]["conditions"] = [condition]

    def annotate_node(self, name: str, key: str, value: str) -> None:
        self.object["metadata"]["annotations"][key] = value

    @property
    def condition(self) -> Object:
        [condition] = self.object["status"]["conditions"]
        return dict(condition)


def test_kubernetes_hears_a_condition_and_taints_a_node_once() -> None:
    client = FakeKubernetes()
    publisher = KubernetesPublisher(client, "n1")  # type: ignore[arg-type]

    asyncio.run(publisher.publish(Standing()))
    assert (client.condition["type"], client.condition["status"]) == (CONDITION_HEALTHY, "True")

    for _ in range(2):
        asyncio.run(publisher.publish(standing("nvidia.xid.79")))
    assert client.condition["status"] == "False"
    assert "nvidia.xid.79: saw nvidia.xid.79" in client.condition["message"]
    assert client.object["spec"]["taints"] == [
        {"key": TAINT_UNHEALTHY, "value": "nvidia.xid.79", "effect": "NoSchedule"}
    ]
    assert client.edits == 1

    asyncio.run(publisher.publish(Standing()))
    assert client.condition["status"] == "True"
    assert client.object["spec"]["taints"], "who repaired the node gives it back, not the agent"


def test_kubernetes_hears_that_a_check_cannot_say() -> None:
    client, stands = FakeKubernetes(), Standing()
    unknown = Finding(node="n1", check="dcgm-health", result=Result.UNKNOWN, time=NOW, evidence="dcgmi: not installed")
    stands.take("dcgm-health", [unknown], happened=False)

    asyncio.run(KubernetesPublisher(client, "n1").publish(stands))  # type: ignore[arg-type]

    assert (client.condition["status"], client.condition["reason"]) == ("Unknown", "ChecksInconclusive")
    assert client.edits == 0


class FakeSlurm:
    def __init__(self, *states: str) -> None:
        self.states, self.asked = states, list[tuple[str, str, str]]()
        self.comment = self.extra = ""

    def node(self, name: str) -> SlurmNode:
        return SlurmNode(name=name, states=self.states, comment=self.comment, extra=self.extra)

    def set_comment(self, name: str, text: str) -> None:
        self.comment = text

    def set_state(self, name: str, state: str, reason: str = "") -> None:
        self.asked.append((name, state, reason))


@pytest.mark.parametrize(("states", "drained"), [(("IDLE",), 1), (("MIXED", "DRAIN"), 0), (("DOWN",), 0)])
def test_slurm_drains_a_node_that_is_not_out_already(states: tuple[str, ...], drained: int) -> None:
    client = FakeSlurm(*states)
    publisher = SlurmPublisher(client, "n1")  # type: ignore[arg-type]

    asyncio.run(publisher.publish(standing("nvidia.xid.13")))
    assert client.asked == []
    for _ in range(2):
        asyncio.run(publisher.publish(standing("nvidia.xid.79")))
    assert client.asked == [("n1", "DRAIN", "paceline: nvidia.xid.79")] * drained


def test_every_supervisor_on_the_machine_hears_the_verdict(tmp_path: Path) -> None:
    async def scene() -> list[Verdict]:
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.put_nowait(await reader.readline())
            writer.close()

        (tmp_path / "node-0").mkdir()
        (tmp_path / "gone").mkdir()
        left_behind = await asyncio.start_unix_server(hear, tmp_path / "gone" / HEALTH_SOCKET)
        left_behind.close()
        (tmp_path / "gone" / HEALTH_SOCKET).touch()
        async with await asyncio.start_unix_server(hear, tmp_path / "node-0" / HEALTH_SOCKET):
            publisher = SupervisorPublisher(tmp_path)
            await publisher.publish(standing("nvidia.xid.79"))
            await publisher.publish(Standing())
            return [Verdict.model_validate_json(await heard.get()) for _ in range(2)]

    first, second = asyncio.run(scene())
    assert first.unfit is not None and first.unfit.fault == "nvidia.xid.79"
    assert second.unfit is None


@pytest.fixture
def host(tmp_path: Path) -> Path:
    root = tmp_path / "host"
    for path, text in {
        "proc/uptime": "90000.00 1.00",
        "proc/mounts": "/dev/nvme0n1p1 / ext4 rw 0 0\n",
        "proc/meminfo": "MemTotal:       2113407800 kB\n",
        "dev/kmsg": "6,1,100,-;Linux version 6.8\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


class Listener:
    name = "listener"

    def __init__(self) -> None:
        self.unfit: asyncio.Queue[str | None] = asyncio.Queue()

    async def publish(self, standing: Standing) -> None:
        finding = standing.unfit()
        self.unfit.put_nowait(finding.fault if finding else None)


def test_an_xid_is_told_journalled_and_counted_within_a_second(
    host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "_STAGGER_SECONDS", 0.0)

    async def scene() -> str:
        listener = Listener()
        agent = Agent(
            Node.of("n1", "p5.48xlarge"),
            HostProbe(host),
            [listener],
            journal=Journal(tmp_path / "journal", run="health", producer="n1.agent", node="n1"),
            bookmark=Bookmark(tmp_path / "state" / "agent.json", "boot-1"),
        )
        server = await serve(agent.measurements.render, "127.0.0.1", 0)
        running = asyncio.create_task(agent.run())
        async with asyncio.timeout(20):
            assert await listener.unfit.get() is None
            with (host / "dev/kmsg").open("a") as log:
                log.write(XID_79.format(2))
            while await listener.unfit.get() != "nvidia.xid.79":
                pass
            os.kill(os.getpid(), signal.SIGHUP)
            while await listener.unfit.get() is not None:
                pass
            metrics = await scrape(server.sockets[0].getsockname()[1])
            os.kill(os.getpid(), signal.SIGTERM)
            await running
        server.close()
        return metrics

    metrics = asyncio.run(scene())

    assert 'paceline_health_findings_total{node="n1",fault="nvidia.xid.79"} 1' in metrics
    assert 'paceline_health_check_result{node="n1",check="memory",result="pass"} 1' in metrics
    assert 'paceline_health_check_result{node="n1",check="dcgm-health",result="unknown"} 1' in metrics
    events = [json.loads(line) for line in (tmp_path / "journal" / "n1.agent.jsonl").read_text().splitlines()]
    assert [(event["kind"], event["fault"]) for event in events] == [
        ("fault.detected", "nvidia.xid.79"),
        ("fault.classified", "nvidia.xid.79"),
    ]
    assert json.loads((tmp_path / "state" / "agent.json").read_text()) == {"boot": "boot-1", "record": 2}


async def scrape(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = (await reader.read()).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 200 OK\r\n")
    return answer


def test_an_agent_that_is_started_again_tells_nothing_twice(tmp_path: Path) -> None:
    file = tmp_path / "agent.json"
    assert Bookmark(file, "boot-1").read() is None
    Bookmark(file, "boot-1").write(4711)
    assert Bookmark(file, "boot-1").read() == 4711
    assert Bookmark(file, "boot-2").read() is None
    file.write_text("half a li")
    assert Bookmark(file, "boot-1").read() is None


def test_a_listener_that_refuses_is_told_again(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Refusing(Listener):
        async def publish(self, standing: Standing) -> None:
            await super().publish(standing)
            raise OSError("no route to host")

    async def scene() -> None:
        listener = Refusing()
        agent = Agent(Node.of("n1", None), HostProbe(host), [listener])
        running = asyncio.create_task(agent.run())
        async with asyncio.timeout(20):
            await listener.unfit.get()
            agent.standing.take("gpu-xid", [failure("nvidia.xid.79")], happened=True)
            agent._changed()
            assert await listener.unfit.get() == "nvidia.xid.79"
        os.kill(os.getpid(), signal.SIGTERM)
        await running

    asyncio.run(scene())
    assert capsys.readouterr().err.count("listener: no route to host") == 1


def kubernetes_desk(order: object) -> tuple[Desk, Callable[[], object]]:
    client = FakeKubernetes()
    notes = client.object["metadata"]["annotations"]
    notes[ANNOTATION_ORDER] = json.dumps(order)
    return KubernetesPublisher(client, "n1"), lambda: json.loads(notes[ANNOTATION_ANSWER])  # type: ignore[arg-type]


def slurm_desk(order: object) -> tuple[Desk, Callable[[], object]]:
    client = FakeSlurm("IDLE")
    client.extra = json.dumps({ANNOTATION_ORDER: order})
    return SlurmPublisher(client, "n1"), lambda: json.loads(client.comment)[ANNOTATION_ANSWER]  # type: ignore[arg-type]


@pytest.mark.parametrize("desk_with", [kubernetes_desk, slurm_desk])
def test_an_order_is_answered_once_and_the_answer_stays_beside_the_findings(
    desk_with: Callable[[object], tuple[Desk, Callable[[], object]]],
) -> None:
    desk, answer = desk_with({"id": "c1.0", "reset": {"kind": "gpu", "index": 3}})

    async def scene() -> None:
        order = await desk.order()
        assert order is not None and order.reset == Device(kind="gpu", index=3)
        await desk.answer(Answer(id=order.id, result=Result.PASS))
        await desk.publish(standing("nvidia.xid.13"))
        assert await desk.order() is None

    asyncio.run(scene())
    assert answer() == {"id": "c1.0", "result": "pass", "findings": [], "measurements": []}


@pytest.mark.parametrize("desk_with", [kubernetes_desk, slurm_desk])
@pytest.mark.parametrize("note", ["scribble", {"id": 7, "rung": "highest"}, None, []])
def test_what_cannot_be_read_is_no_order(
    desk_with: Callable[[object], tuple[Desk, Callable[[], object]]], note: object
) -> None:
    desk, _ = desk_with(note)
    assert asyncio.run(desk.order()) is None


@pytest.mark.parametrize(("code", "result"), [(0, Result.PASS), (1, Result.FAIL)])
def test_a_gpu_is_reset_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, result: Result) -> None:
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\necho $* > {tmp_path}/asked\nexit {code}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    order = Order(id="c1.0", reset=Device(kind="gpu", index=3, serial="GPU-509665ad"))

    answer = asyncio.run(carry_out(order, HostProbe(tmp_path), Node.of("n1", "p5.48xlarge")))

    assert answer.result is result
    assert (tmp_path / "asked").read_text() == "--gpu-reset -i GPU-509665ad\n"


def test_what_cannot_be_reset_or_tested_is_unknown(host: Path) -> None:
    node, probe = Node.of("n1", "p5.48xlarge"), HostProbe(host)
    for order in (Order(id="1", reset=Device(kind="nic", index=0)), Order(id="2", rung=Rung.PAIR, peers=("n2",))):
        assert asyncio.run(carry_out(order, probe, node)).result is Result.UNKNOWN


@pytest.mark.parametrize(
    ("stress", "result"),
    [
        ("echo 'stress-ng: info:  [1] passed: 2'", Result.PASS),
        ("echo 'stress-ng: fail:  [1] cpu: wrong'; exit 2", Result.FAIL),
        ("exit 3", Result.UNKNOWN),
    ],
)
def test_a_node_comes_back_by_its_tests_whatever_its_log_still_says(
    host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stress: str, result: Result
) -> None:
    (tmp_path / "stress-ng").write_text(f"#!/bin/sh\n{stress}\n")
    (tmp_path / "stress-ng").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (host / "dev/kmsg").write_text("3,2,89990000000,-;neuron: nd5: NEURON_HW_ERR=DMA_ERROR reported\n")

    answer = asyncio.run(carry_out(Order(id="1", rung=Rung.SINGLE), HostProbe(host), Node.of("n1", None)))

    assert answer.result is result
    assert {finding.fault for finding in answer.findings} <= {None, "deep.cpu_wrong", "host.disk_full"}
