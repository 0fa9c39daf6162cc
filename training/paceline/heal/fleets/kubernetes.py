"""A fleet of Kubernetes nodes. What is remembered is in annotations of the nodes; pods leave by eviction, which
respects disruption budgets. Machines are rebooted and given back through their provider."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from paceline.clients.kubernetes import set_taint
from paceline.heal.fleets.base import Machines, Node
from paceline.heal.fleets.notes import parsed, read_answer, read_case, read_findings
from paceline.spec.errors import ClusterError
from paceline.spec.healing import Case, Order
from paceline.spec.health import Action
from paceline.spec.names import (
    ANNOTATION_ANSWER,
    ANNOTATION_CASE,
    ANNOTATION_FINDINGS,
    ANNOTATION_ORDER,
    LABEL_NETWORK_LAYER,
    LABEL_ROLE,
    LABEL_TEAM,
    ROLE_ACCELERATOR,
    TAINT_UNHEALTHY,
    TAINT_UNTESTED,
)

_INSTANCE = re.compile(r"i-[0-9a-f]{8,17}$")
_MIRROR = "kubernetes.io/config.mirror"


class Api(Protocol):
    """The API server. All of it raises ClusterError when it refuses or cannot be reached."""

    def list(self, path: str, **query: str) -> list[dict[str, Any]]:
        """All items of a collection, page by page."""
        ...

    def patch(self, path: str, body: Mapping[str, Any]) -> None:
        """A strategic merge patch."""
        ...

    def create(self, path: str, body: Mapping[str, Any]) -> None: ...

    def edit_node(self, name: str, edit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Change a node by a function of the newest object, again when somebody else was faster."""
        ...


class KubernetesFleet:
    """The accelerator nodes of `team`. Without `machines` a sick node can only be kept out."""

    def __init__(self, api: Api, *, team: str, machines: Machines | None) -> None:
        self._api = api
        self._team = team
        self._machines = machines
        self._pods: dict[str, list[tuple[str, str]]] = {}
        # the agent resets devices and runs tests; the provider does the rest
        self.capabilities = frozenset((Action.RESET_DEVICE,)) | (machines.capabilities if machines else frozenset())

    def nodes(self) -> list[Node]:
        selector = f"{LABEL_TEAM}={self._team},{LABEL_ROLE}={ROLE_ACCELERATOR}"
        items = self._api.list("/api/v1/nodes", labelSelector=selector)
        running = self._api.list("/api/v1/pods", fieldSelector="status.phase!=Succeeded,status.phase!=Failed")
        self._pods = {}
        for pod in running:
            if _leaves(pod) and (node := pod["spec"].get("nodeName")):
                name = pod["metadata"]["namespace"], pod["metadata"]["name"]
                self._pods.setdefault(node, []).append(name)
        return sorted((self._node(item) for item in items), key=lambda node: node.name)

    def write(self, node: str, case: Case | None) -> None:
        self._annotate(node, ANNOTATION_CASE, case.model_dump_json(exclude_none=True) if case else None)

    def cordon(self, node: str, reason: str) -> None:
        # not by a patch: taints have no merge key in the API, and a patch would replace those of others
        def edit(item: dict[str, Any]) -> None:
            set_taint(item, TAINT_UNHEALTHY, "healing", "NoSchedule")
            item["spec"]["unschedulable"] = True

        self._api.edit_node(node, edit)

    def drain(self, node: str) -> None:
        refused = None
        for namespace, pod in self._pods.get(node, []):
            review = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"namespace": namespace, "name": pod}}
            try:
                self._api.create(f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction", review)
            except ClusterError as error:  # a disruption budget, or it has just left: the others are asked all the same
                refused = error
        if refused is not None:
            raise refused

    def order(self, node: str, order: Order) -> None:
        for name in (node, *order.peers):
            self._annotate(name, ANNOTATION_ORDER, order.model_dump_json(exclude_none=True))

    def reboot(self, node: Node) -> None:
        self._provider(node).reboot(node.machine or "")

    def replace(self, node: Node) -> None:
        # the cloud's controller manager takes the Node away when its machine is gone
        self._provider(node).replace(node.machine or "")

    def readmit(self, node: str) -> None:
        def edit(item: dict[str, Any]) -> None:
            taints = item["spec"].get("taints") or []
            item["spec"]["taints"] = [t for t in taints if t["key"] not in (TAINT_UNHEALTHY, TAINT_UNTESTED)]
            item["spec"].pop("unschedulable", None)

        self._api.edit_node(node, edit)

    def resize(self, nodes: int) -> bool:
        return self._machines.resize(nodes) if self._machines else False

    def _provider(self, node: Node) -> Machines:
        if self._machines is None or node.machine is None:
            raise ClusterError(
                f"{node.name}: it is not known which machine it is",
                "its providerID names none: reboot or replace it by hand, then `paceline heal readmit`",
            )
        return self._machines

    def _annotate(self, node: str, key: str, value: str | None) -> None:
        self._api.patch(f"/api/v1/nodes/{node}", {"metadata": {"annotations": {key: value}}})

    def _node(self, item: Mapping[str, Any]) -> Node:
        name = item["metadata"]["name"]
        notes = item["metadata"].get("annotations", {})
        taints = {taint["key"] for taint in item["spec"].get("taints") or []}
        machine = _INSTANCE.search(item["spec"].get("providerID", ""))
        status = item.get("status", {})
        return Node(
            name=name,
            machine=machine[0] if machine else None,
            boot=status.get("nodeInfo", {}).get("bootID"),
            silent_since=_silent_since(status.get("conditions", [])),
            cordoned=bool(item["spec"].get("unschedulable")),
            busy=name in self._pods,
            untested=TAINT_UNTESTED in taints,
            findings=read_findings(name, parsed(notes.get(ANNOTATION_FINDINGS))),
            case=read_case(name, parsed(notes.get(ANNOTATION_CASE))),
            answer=read_answer(parsed(notes.get(ANNOTATION_ANSWER))),
            address=next((a["address"] for a in status.get("addresses", []) if a["type"] == "InternalIP"), None),
            leaf=_leaf(item["metadata"].get("labels", {})),
        )


def _leaves(pod: Mapping[str, Any]) -> bool:
    """Whether a drain concerns the pod: those of a DaemonSet and of the kubelet itself stay."""
    meta = pod["metadata"]
    owners = {owner["kind"] for owner in meta.get("ownerReferences", [])}
    return "DaemonSet" not in owners and _MIRROR not in meta.get("annotations", {})


def _leaf(labels: Mapping[str, str]) -> str | None:
    """The lowest switch that the labels name."""
    layers = {key: value for key, value in labels.items() if key.startswith(LABEL_NETWORK_LAYER)}
    return layers[max(layers)] if layers else None


def _silent_since(conditions: list[dict[str, Any]]) -> datetime | None:
    """Since when the node is not Ready."""
    for condition in conditions:
        if condition["type"] == "Ready" and condition["status"] != "True":
            return datetime.fromisoformat(condition["lastTransitionTime"])
    return None
