"""From a signal to a node that works again, with the client, publisher, fleet, lease and healer of production.

Each scene is for the double and for Kubernetes' own API server: what the double does wrong, the real one shows.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from paceline.clients.object_store import DirectoryStore
from paceline.heal.fleets.kubernetes import KubernetesFleet
from paceline.heal.healer import Healer, Round
from paceline.heal.lease import KubernetesLease
from paceline.heal.memory import Memory
from paceline.heal.policy import load_policy
from paceline.health.publish.kubernetes import KubernetesPublisher
from paceline.health.standing import Standing
from paceline.spec.errors import ClusterError
from paceline.spec.healing import Answer, Phase
from paceline.spec.health import Finding, Result
from paceline.spec.names import CONDITION_HEALTHY, TAINT_UNHEALTHY, TAINT_UNTESTED
from tests.kubernetes.clusters import Cluster
from tests.kubernetes.rights import AGENT, CONTROLLER, granted
from tests.kubernetes.world import BUDGETS, NODES, VENDOR, World

pytestmark = pytest.mark.timeout(300)  # the first one waits for the real server

VENDORS = {VENDOR["key"]: VENDOR["value"]}


class Scene:
    """Five nodes, of which gpu-1 and gpu-2 train together, a controller that holds the lease, and agents."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self.cluster = cluster
        self.world = World(cluster.admin, 5)
        for number in (1, 2):
            self.world.add_pod(f"worker-{number}", f"gpu-{number}", labels={"app": "train"})
        daemon = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "paceline-agent", "uid": "1"}
        self.world.add_pod("agent-1", "gpu-1", ownerReferences=[daemon])
        self.now = datetime.now(UTC)
        api = cluster.client(CONTROLLER)
        self.lease = KubernetesLease(api, holder="one", seconds=30, clock=lambda: self.now.timestamp())
        store = DirectoryStore(directory)
        self.healer = Healer(
            KubernetesFleet(api, team="vision", machines=self.world),
            policy=load_policy(),
            memory=Memory(store, self.now),
            store=store,
            tell=lambda kind, **fields: None,
        )

    def round(self) -> Round:
        """The controller's next look, ten seconds later."""
        self.now += timedelta(seconds=10)
        assert self.lease.hold()
        return self.healer.round(self.now)

    def agent(self, node: str) -> KubernetesPublisher:
        return KubernetesPublisher(self.cluster.client(AGENT), node)

    def report(self, node: str, *faults: str) -> None:
        """What the agent of `node` finds now is these faults and nothing else."""
        standing = Standing()
        standing.take("xid", [self.finding(node, fault) for fault in faults], happened=True)
        asyncio.run(self.agent(node).publish(standing))

    def finding(self, node: str, fault: str) -> Finding:
        return Finding(node=node, check="xid", result=Result.FAIL, time=self.now, fault=fault, evidence=fault)

    def pass_tests(self, node: str) -> None:
        """The agent of `node` carries out what it is asked, until the node is nobody's patient."""
        for _ in range(12):
            phases = self.round().phases
            if not sum(phases.values()):
                return
            order = asyncio.run(self.agent(node).order())
            if order is not None:
                asyncio.run(self.agent(node).answer(Answer(id=order.id, result=Result.PASS)))
        raise AssertionError(f"{node} is still out: {phases}")

    def drain(self, node: str) -> None:
        """The controller asks the pods to leave, and the kubelets let them."""
        assert self.round().phases[Phase.DRAINING] == 1
        self.world.end_leaving_pods()


@pytest.fixture
def scene(cluster: Cluster, tmp_path: Path) -> Scene:
    return Scene(cluster, tmp_path / "store")


def conditions(node: dict) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in node["status"]["conditions"]}


def test_a_sick_node_is_emptied_rebooted_tested_and_works_again(scene: Scene) -> None:
    world = scene.world
    scene.report("gpu-1", "nvidia.xid.79")
    assert conditions(world.node("gpu-1")) == {
        "Ready": ("True", "KubeletReady"),
        CONDITION_HEALTHY: ("False", "Unfit"),
    }
    assert world.taints("gpu-1") == {**VENDORS, TAINT_UNHEALTHY: "nvidia.xid.79"}

    scene.drain("gpu-1")
    assert world.node("gpu-1")["spec"]["unschedulable"] is True
    assert world.taints("gpu-1") == {**VENDORS, TAINT_UNHEALTHY: "healing"}
    assert world.pods() == {"agent-1": "running", "worker-2": "running"}

    boot = world.node("gpu-1")["status"]["nodeInfo"]["bootID"]
    assert scene.round().phases[Phase.ACTING] == 1
    assert world.node("gpu-1")["status"]["nodeInfo"]["bootID"] != boot
    scene.report("gpu-1")  # the agent of the new boot finds nothing
    scene.pass_tests("gpu-1")

    node = world.node("gpu-1")
    assert "unschedulable" not in node["spec"]
    assert world.taints("gpu-1") == VENDORS
    assert conditions(node)[CONDITION_HEALTHY] == ("True", "ChecksPass")
    # neither account was refused anything, and neither has a right that this does not take
    assert scene.cluster.calls(CONTROLLER) == granted(CONTROLLER)
    assert scene.cluster.calls(AGENT) == granted(AGENT)


def test_a_node_that_is_given_back_is_followed_by_one_that_is_tested_first(scene: Scene) -> None:
    world = scene.world
    scene.report("gpu-1", "nvidia.xid.64")  # no spare rows: the maker says to replace the board
    scene.drain("gpu-1")
    scene.round()
    assert "gpu-1" not in {node["metadata"]["name"] for node in world.admin.list(NODES)}
    assert world.taints("gpu-6") == {**VENDORS, TAINT_UNTESTED: ""}

    scene.pass_tests("gpu-6")

    assert world.taints("gpu-6") == VENDORS


def test_a_disruption_budget_is_respected_until_it_allows(scene: Scene) -> None:
    world = scene.world
    world.budget("train", app="train")
    scene.report("gpu-1", "nvidia.xid.79")
    scene.round()
    scene.round()
    assert world.pods()["worker-1"] == "running"
    assert world.node("gpu-1")["spec"]["unschedulable"] is True

    world.allow("train", 1)
    scene.round()

    assert world.pods() == {"agent-1": "running", "worker-1": "leaving", "worker-2": "running"}


def test_a_node_that_the_cluster_does_not_hear_is_taken_out(scene: Scene) -> None:
    since = f"{scene.now - timedelta(seconds=600):%FT%TZ}"
    silent = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "lastTransitionTime": since}
    scene.cluster.admin.patch(f"{NODES}/gpu-3/status", {"status": {"conditions": [silent]}})

    assert scene.round().phases[Phase.ACTING] == 1

    assert scene.world.node("gpu-3")["spec"]["unschedulable"] is True
    assert scene.world.node("gpu-3")["status"]["nodeInfo"]["bootID"] == "boot-3-again"


def test_a_large_cluster_is_listed_page_by_page(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paceline.clients.kubernetes._PAGE", 2)
    items = scene.cluster.client(CONTROLLER).list(NODES, labelSelector="paceline.dev/team=vision")
    assert [item["metadata"]["name"] for item in items] == [f"gpu-{number}" for number in range(1, 6)]
    assert scene.cluster.client(CONTROLLER).list(NODES, labelSelector="paceline.dev/team=speech") == []


def test_of_two_controllers_one_acts(scene: Scene) -> None:
    rival = KubernetesLease(
        scene.cluster.client(CONTROLLER), holder="two", seconds=30, clock=lambda: scene.now.timestamp()
    )
    assert scene.lease.hold()
    assert not rival.hold()
    scene.lease.release()
    assert rival.hold()
    assert not scene.lease.hold()


def test_a_change_that_was_made_meanwhile_is_not_lost(scene: Scene) -> None:
    agent = scene.cluster.client(AGENT)
    tries = []

    def edit(node: dict) -> None:
        if not tries:  # somebody else is faster, once
            scene.cluster.admin.patch(f"{NODES}/gpu-3", {"metadata": {"labels": {"seen": "yes"}}})
        tries.append(node["metadata"]["resourceVersion"])
        node["metadata"]["labels"]["mine"] = "yes"

    agent.edit_node("gpu-3", edit)

    labels = scene.world.node("gpu-3")["metadata"]["labels"]
    assert (labels["seen"], labels["mine"], len(tries)) == ("yes", "yes", 2)


@pytest.mark.parametrize("user", [CONTROLLER, AGENT])
def test_what_the_role_does_not_say_is_refused(scene: Scene, user: str) -> None:
    client = scene.cluster.client(user)
    for attempt in (
        lambda: client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "mine"}}),
        lambda: client.list("/api/v1/secrets"),
        lambda: client.list(BUDGETS),
    ):
        with pytest.raises(ClusterError, match="403"):
            attempt()
