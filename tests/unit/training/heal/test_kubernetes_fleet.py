from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from paceline.heal.fleets.kubernetes import KubernetesFleet
from paceline.heal.lease import KubernetesLease
from paceline.spec.errors import ClusterError
from paceline.spec.healing import Answer, Case, Order, Phase, Rung
from paceline.spec.health import Action, Finding, Result

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def node_object(name: str, *, ready: str = "True", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "annotations": {}},
        "spec": {"providerID": f"aws:///us-east-1a/i-0123456789abcde{name[-1]}"} | spec,
        "status": {
            "nodeInfo": {"bootID": f"boot-{name}"},
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-11-21T00:00:00Z"}],
        },
    }


def pod_object(name: str, node: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "runs", "name": name} | metadata, "spec": {"nodeName": node}}


class FakeApi:
    """An API server with nodes and pods: strategic merge of annotations, as the real one does it."""

    def __init__(self) -> None:
        self.nodes = {name: node_object(name) for name in ("node-a", "node-b")}
        self.pods = [pod_object("worker-0", "node-a")]
        self.evicted: list[str] = []
        self.budget: set[str] = set()

    def list(self, path: str, **query: str) -> list[dict[str, Any]]:
        self.query = query
        return list(self.nodes.values()) if path.endswith("/nodes") else self.pods

    def patch(self, path: str, body: Mapping[str, Any]) -> None:
        node = self.nodes[path.rsplit("/", 1)[1]]
        for key, value in body.get("metadata", {}).get("annotations", {}).items():
            node["metadata"]["annotations"].pop(key, None)
            if value is not None:
                node["metadata"]["annotations"][key] = value

    def edit_node(self, name: str, edit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        edit(self.nodes[name])
        return self.nodes[name]

    def create(self, path: str, body: Mapping[str, Any]) -> None:
        name = body["metadata"]["name"]
        if name in self.budget:
            raise ClusterError("Cannot evict pod as it would violate the pod's disruption budget.")
        self.evicted.append(name)


class FakeMachines:
    capabilities = frozenset((Action.REBOOT, Action.REPLACE))

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def reboot(self, machine: str) -> None:
        self.asked.append(("reboot", machine))

    def replace(self, machine: str) -> None:
        self.asked.append(("replace", machine))

    def resize(self, nodes: int) -> bool:
        return False


def case(node: str = "node-a") -> Case:
    return Case(
        id="c", node=node, finding=None, action=Action.REBOOT, reason="r", opened=NOW, phase=Phase.DRAINING, since=NOW
    )


def test_a_node_is_read_as_the_cluster_describes_it() -> None:
    api = FakeApi()
    finding = Finding(node="node-b", check="xid", result=Result.FAIL, time=NOW, fault="nvidia.xid.79")
    answer = Answer(id="c.0", result=Result.PASS)
    api.nodes["node-b"] = node_object("node-b", ready="Unknown", taints=[{"key": "paceline.dev/untested"}])
    api.nodes["node-b"]["metadata"]["annotations"] = {
        "paceline.dev/findings": json.dumps([finding.model_dump(mode="json")]),
        "paceline.dev/answer": answer.model_dump_json(),
    }

    a, b = KubernetesFleet(api, team="vision", machines=None).nodes()

    assert (a.machine, a.boot, a.silent_since, a.busy, a.untested) == (
        "i-0123456789abcdea",
        "boot-node-a",
        None,
        True,
        False,
    )
    assert (b.silent_since, b.busy, b.untested, b.findings, b.answer) == (NOW, False, True, (finding,), answer)


def test_what_is_written_is_read_again_and_can_be_taken_away() -> None:
    fleet = KubernetesFleet(FakeApi(), team="vision", machines=None)
    fleet.write("node-a", case())
    assert fleet.nodes()[0].case == case()
    fleet.write("node-a", None)
    assert fleet.nodes()[0].case is None


def test_cordon_and_readmission_leave_the_taints_of_others() -> None:
    api = FakeApi()
    gpu = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    api.nodes["node-a"]["spec"]["taints"] = [gpu]
    fleet = KubernetesFleet(api, team="vision", machines=None)

    fleet.cordon("node-a", "ill")
    fleet.cordon("node-a", "ill")

    assert fleet.nodes()[0].cordoned
    assert [taint["key"] for taint in api.nodes["node-a"]["spec"]["taints"]] == [
        "nvidia.com/gpu",
        "paceline.dev/unhealthy",
    ]
    fleet.readmit("node-a")
    assert not fleet.nodes()[0].cordoned
    assert api.nodes["node-a"]["spec"]["taints"] == [gpu]


def test_a_drain_evicts_jobs_and_leaves_daemons_and_the_kubelets_own() -> None:
    api = FakeApi()
    api.pods += [
        pod_object("agent", "node-a", ownerReferences=[{"kind": "DaemonSet"}]),
        pod_object("kube-proxy", "node-a", annotations={"kubernetes.io/config.mirror": "x"}),
        pod_object("worker-1", "node-b"),
        pod_object("worker-2", "node-a"),
    ]
    api.budget = {"worker-0"}
    fleet = KubernetesFleet(api, team="vision", machines=None)
    fleet.nodes()

    with pytest.raises(ClusterError, match="disruption budget"):
        fleet.drain("node-a")

    assert api.evicted == ["worker-2"]


def test_the_provider_is_asked_for_the_machine_and_not_for_the_node() -> None:
    machines = FakeMachines()
    fleet = KubernetesFleet(FakeApi(), team="vision", machines=machines)
    [node, _] = fleet.nodes()
    fleet.reboot(node)
    fleet.replace(node)
    assert machines.asked == [("reboot", "i-0123456789abcdea"), ("replace", "i-0123456789abcdea")]


def test_without_a_provider_a_node_can_only_be_reset() -> None:
    assert KubernetesFleet(FakeApi(), team="vision", machines=None).capabilities == {Action.RESET_DEVICE}


def test_an_order_reaches_the_node_and_its_peers() -> None:
    api = FakeApi()
    order = Order(id="c.0.pair.0", rung=Rung.PAIR, peers=("node-b",))
    KubernetesFleet(api, team="vision", machines=None).order("node-a", order)
    for name in ("node-a", "node-b"):
        assert Order.model_validate_json(api.nodes[name]["metadata"]["annotations"]["paceline.dev/order"]) == order


class FakeLeases:
    """One lease, with the API server's check of the version that was read."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0

    def get(self, path: str) -> dict[str, Any] | None:
        return json.loads(json.dumps(self.lease)) if self.lease else None

    def create(self, path: str, body: Mapping[str, Any]) -> None:
        if self.lease is not None:
            raise ClusterError("leases.coordination.k8s.io already exists")
        self._put(body)

    def update(self, path: str, body: Mapping[str, Any]) -> bool:
        if body["metadata"]["resourceVersion"] != str(self.version):
            return False
        self._put(body)
        return True

    def _put(self, body: Mapping[str, Any]) -> None:
        self.version += 1
        self.lease = json.loads(json.dumps(body))
        self.lease["metadata"]["resourceVersion"] = str(self.version)


def test_one_of_two_controllers_leads_and_the_other_takes_over() -> None:
    leases, time = FakeLeases(), [0.0]
    one, two = (KubernetesLease(leases, holder=name, seconds=30, clock=lambda: time[0]) for name in ("one", "two"))

    assert one.hold()
    assert not two.hold()
    time[0] = 29
    assert one.hold()
    assert not two.hold()  # seen to change at 29
    time[0] = 58
    assert not two.hold()
    time[0] = 60
    assert two.hold()
    assert not one.hold()
    two.release()
    assert one.hold()
    assert leases.lease and leases.lease["spec"]["leaseTransitions"] == 2


def test_two_that_take_it_at_once_do_not_both_get_it() -> None:
    leases = FakeLeases()
    one, two = (KubernetesLease(leases, holder=name, seconds=30, clock=lambda: 0.0) for name in ("one", "two"))
    assert one.hold()
    one.release()
    read = leases.get("")
    assert two.hold()
    assert read is not None
    assert not leases.update("", read)
    assert not one.hold()
