"""What stands around a controller in a cluster: nodes without kubelets, pods, and the cloud that machines come from."""

from __future__ import annotations

from typing import Any

from paceline.clients.kubernetes import RestKubernetes
from paceline.spec.health import Action
from paceline.spec.names import LABEL_ROLE, LABEL_TEAM, ROLE_ACCELERATOR, TAINT_UNTESTED

Object = dict[str, Any]

NODES = "/api/v1/nodes"
PODS = "/api/v1/namespaces/paceline-runs/pods"
BUDGETS = "/apis/policy/v1/namespaces/paceline-runs/poddisruptionbudgets"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/paceline-system/leases"
VENDOR = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}

_LABELS = {LABEL_TEAM: "vision", LABEL_ROLE: ROLE_ACCELERATOR}
_SINCE = "2026-11-21T00:00:00Z"


class Admin(RestKubernetes):
    """Somebody who may do everything."""

    def delete(self, path: str) -> None:
        """At once, as a kubelet that has ended a pod."""
        self._call("DELETE", path, {"gracePeriodSeconds": 0})


class World:
    """A cluster with nothing in it but `nodes` accelerator nodes, gpu-1 and so on. It is the fleet's `Machines` too."""

    capabilities = frozenset((Action.REBOOT, Action.REPLACE))

    def __init__(self, admin: Admin, nodes: int) -> None:
        self.admin = admin
        self._made = 0
        for collection in (PODS, BUDGETS, LEASES, NODES):
            for left in admin.list(collection):
                admin.delete(f"{collection}/{left['metadata']['name']}")
        for _ in range(nodes):
            self.add_node()

    def add_node(self, *more: Object) -> str:
        """A node that is ready; its name. `more` are taints that it registers with."""
        self._made += 1
        name, machine = f"gpu-{self._made}", f"i-{self._made:017x}"
        spec = {"providerID": f"aws:///us-east-1a/{machine}", "taints": [VENDOR, *more]}
        metadata = {"name": name, "labels": _LABELS}
        self.admin.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec})
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": _SINCE, "lastHeartbeatTime": _SINCE}
        ready |= {"reason": "KubeletReady", "message": "it is"}
        status = {"conditions": [ready], "nodeInfo": {"bootID": f"boot-{self._made}"}}
        self.admin.patch(f"{NODES}/{name}/status", {"status": status})
        return name

    def add_pod(self, name: str, node: str, **metadata: Any) -> None:
        """A pod that runs on `node` and is ready."""
        spec = {
            "nodeName": node,
            "containers": [{"name": "main", "image": "any"}],
            "tolerations": [{"operator": "Exists"}],
        }
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name} | metadata, "spec": spec}
        self.admin.create(PODS, body)
        conditions = [{"type": "Ready", "status": "True"}]
        self.admin.patch(f"{PODS}/{name}/status", {"status": {"phase": "Running", "conditions": conditions}})

    def node(self, name: str) -> Object:
        """As the API server has it."""
        return self.admin.node(name)

    def taints(self, name: str) -> dict[str, str]:
        """Value by key."""
        return {taint["key"]: taint.get("value", "") for taint in self.node(name)["spec"].get("taints", [])}

    def pods(self) -> dict[str, str]:
        """By name, whether each is `running` or `leaving`."""
        items = self.admin.list(PODS)
        return {
            item["metadata"]["name"]: "leaving" if "deletionTimestamp" in item["metadata"] else "running"
            for item in items
        }

    def end_leaving_pods(self) -> None:
        """What the kubelets do with pods that are to leave."""
        for name, standing in self.pods().items():
            if standing == "leaving":
                self.admin.delete(f"{PODS}/{name}")

    def budget(self, name: str, **labels: str) -> None:
        """All pods with these labels stay, until `allow`."""
        spec = {"minAvailable": "100%", "selector": {"matchLabels": labels}}
        body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec}
        self.admin.create(BUDGETS, body)
        self.allow(name, 0)

    def allow(self, name: str, disruptions: int) -> None:
        """What the controller of budgets counts: so many pods may leave."""
        counts = {"observedGeneration": 1, "currentHealthy": 2, "desiredHealthy": 2 - disruptions, "expectedPods": 2}
        self.admin.patch(f"{BUDGETS}/{name}/status", {"status": {**counts, "disruptionsAllowed": disruptions}})

    def reboot(self, machine: str) -> None:
        node = self._node_on(machine)
        boot = f"{node['status']['nodeInfo']['bootID']}-again"
        self.admin.patch(f"{NODES}/{node['metadata']['name']}/status", {"status": {"nodeInfo": {"bootID": boot}}})

    def replace(self, machine: str) -> None:
        """The cloud's controller takes the Node away, and the new machine registers as one that nobody has tested."""
        self.admin.delete(f"{NODES}/{self._node_on(machine)['metadata']['name']}")
        self.add_node({"key": TAINT_UNTESTED, "effect": "NoSchedule"})

    def resize(self, nodes: int) -> bool:
        return False

    def _node_on(self, machine: str) -> Object:
        [found] = [node for node in self.admin.list(NODES) if node["spec"]["providerID"].endswith(machine)]
        return found
