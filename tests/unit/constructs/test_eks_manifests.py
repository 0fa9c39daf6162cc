"""paceline's own programs in a cluster: legal manifests, on the right nodes, with no more rights than they use."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from paceline.catalog.versions import versions
from paceline.spec.names import (
    CONTROLLER_POD,
    LABEL_ROLE,
    METRICS_PORT,
    ROLE_ACCELERATOR,
    ROLE_SYSTEM,
    SYSTEM_NAMESPACE,
)
from paceline_constructs.eks.rendering import OwnImage, SoftwareProps, render

DIGEST = f"sha256:{'0' * 64}"
Documents = list[dict[str, Any]]


def documents(**own: OwnImage) -> dict[str, Documents]:
    """What is applied, by file."""
    props = SoftwareProps(team="alpha", repository_prefix="paceline/alpha", install=(), types=(), **own)
    return {
        name: list(yaml.safe_load_all(text)) for name, text in render(props).items() if name.startswith("manifests/")
    }


@pytest.fixture(scope="module")
def rendered() -> dict[str, Documents]:
    return documents(
        node_agent=OwnImage(repository="node-agent", tag="0.1.0"),
        controller=OwnImage(repository="controller", tag=DIGEST),
    )


@pytest.fixture(scope="module")
def everything(rendered: dict[str, Documents]) -> Documents:
    return [document for several in rendered.values() for document in several]


def of_kind(everything: Documents, kind: str, name: str) -> dict[str, Any]:
    [found] = [d for d in everything if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    return found


def pod(everything: Documents, kind: str, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = of_kind(everything, kind, name)["spec"]["template"]["spec"]
    return spec


def rules(everything: Documents, kind: str, name: str) -> dict[str, set[str]]:
    """Verbs by resource."""
    return {
        resource: set(rule["verbs"])
        for rule in of_kind(everything, kind, name)["rules"]
        for resource in rule["resources"]
    }


def test_kubernetes_knows_every_field(everything: Documents) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="the schemas of Kubernetes are not installed")
    for document in everything:
        for row in versions().eks:
            validate.validate(document, row.version, strict=True)


def test_namespaces_are_made_first(rendered: dict[str, Documents]) -> None:
    """kubectl applies the files of a folder in the order of their names."""
    assert min(rendered) == "manifests/00-namespaces.yaml"
    made = {document["metadata"]["name"] for document in rendered[min(rendered)]}
    used = {
        d["metadata"]["namespace"] for several in rendered.values() for d in several if "namespace" in d["metadata"]
    }
    assert used == {SYSTEM_NAMESPACE} < made


def test_an_image_without_a_tag_or_digest_is_none(everything: Documents) -> None:
    images = [
        pod(everything, *workload)["containers"][0]["image"]
        for workload in (("DaemonSet", "paceline-agent"), ("Deployment", "paceline-controller"))
    ]
    assert images == [
        "${REGISTRY}/paceline/alpha/node-agent:0.1.0",
        f"${{REGISTRY}}/paceline/alpha/controller@{DIGEST}",
    ]


def test_there_is_nothing_of_what_the_team_leaves_out() -> None:
    assert set(documents()) == {"manifests/00-namespaces.yaml"}


def test_the_agent_stays_on_accelerator_nodes_whatever_taints_them(everything: Documents) -> None:
    spec = pod(everything, "DaemonSet", "paceline-agent")
    assert spec["nodeSelector"] == {LABEL_ROLE: ROLE_ACCELERATOR}
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["priorityClassName"] == "system-node-critical"


def test_the_agent_sees_what_it_checks_and_can_change_no_file_of_its_image(everything: Documents) -> None:
    [container] = pod(everything, "DaemonSet", "paceline-agent")["containers"]
    assert container["command"][:4] == ["paceline", "agent", "--publish", "kubernetes"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    written = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert written == {"/run/paceline", "/tmp"}


def test_the_agent_may_change_its_own_node_only(everything: Documents) -> None:
    assert rules(everything, "ClusterRole", "paceline-agent") == {
        "nodes": {"get", "update", "patch"},
        "nodes/status": {"patch"},
    }
    policy = of_kind(everything, "ValidatingAdmissionPolicy", "paceline-agent-own-node")["spec"]
    [caller] = policy["matchConditions"]
    account = pod(everything, "DaemonSet", "paceline-agent")["serviceAccountName"]
    assert f'"system:serviceaccount:{SYSTEM_NAMESPACE}:{account}"' in caller["expression"]
    assert policy["failurePolicy"] == "Fail"
    binding = of_kind(everything, "ValidatingAdmissionPolicyBinding", "paceline-agent-own-node")["spec"]
    assert binding == {"policyName": "paceline-agent-own-node", "validationActions": ["Deny"]}


def test_the_controller_evicts_and_never_deletes_pods(everything: Documents) -> None:
    allowed = rules(everything, "ClusterRole", "paceline-controller")
    assert allowed["pods"] == {"list"}
    assert allowed["pods/eviction"] == {"create"}
    assert not {"secrets", "configmaps", "*"} & set(allowed)


def test_one_of_two_controllers_leads(everything: Documents) -> None:
    deployment = of_kind(everything, "Deployment", "paceline-controller")["spec"]
    assert deployment["replicas"] == 2
    create, keep = of_kind(everything, "Role", "paceline-controller")["rules"]
    assert (create["resources"], create["verbs"]) == (["leases"], ["create"])
    assert (keep["resourceNames"], set(keep["verbs"])) == (["paceline-controller"], {"get", "update"})
    budget = of_kind(everything, "PodDisruptionBudget", "paceline-controller")["spec"]
    assert budget["selector"] == deployment["selector"]


def test_the_controller_has_no_privilege(everything: Documents) -> None:
    spec = pod(everything, "Deployment", "paceline-controller")
    assert spec["nodeSelector"] == {LABEL_ROLE: ROLE_SYSTEM}
    assert (SYSTEM_NAMESPACE, spec["serviceAccountName"]) == CONTROLLER_POD
    assert spec["securityContext"]["runAsNonRoot"] is True
    [container] = spec["containers"]
    assert container["command"] == ["paceline", "controller"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not any("hostPath" in volume for volume in spec["volumes"])


@pytest.mark.parametrize("workload", [("DaemonSet", "paceline-agent"), ("Deployment", "paceline-controller")])
def test_metrics_are_where_they_are_scraped(everything: Documents, workload: tuple[str, str]) -> None:
    template = of_kind(everything, *workload)["spec"]["template"]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(METRICS_PORT)
    [container] = template["spec"]["containers"]
    assert container["ports"] == [{"name": "metrics", "containerPort": METRICS_PORT}]
    assert container["resources"]["requests"] and container["resources"]["limits"]["memory"]


def test_every_account_is_bound_and_every_binding_has_its_role(everything: Documents) -> None:
    accounts = {
        (d["metadata"]["namespace"], d["metadata"]["name"]) for d in everything if d["kind"] == "ServiceAccount"
    }
    roles = {(d["kind"], d["metadata"]["name"]) for d in everything if d["kind"] in ("Role", "ClusterRole")}
    bindings = [d for d in everything if d["kind"].endswith("RoleBinding")]
    assert {(s["namespace"], s["name"]) for d in bindings for s in d["subjects"]} == accounts
    assert {(d["roleRef"]["kind"], d["roleRef"]["name"]) for d in bindings} == roles
