"""What Kubernetes itself says of our manifests: that it takes them, and what the accounts in them may do."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.kubernetes.real import Real
from tests.kubernetes.rights import AGENT, CONTROLLER, Right, collection, granted, manifests

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(300)]

# what every account may do that can say who it is: ask what it may do (the cluster's own role system:basic-user)
EVERYBODY = {
    Right("authorization.k8s.io", resource, "create")
    for resource in ("selfsubjectaccessreviews", "selfsubjectrulesreviews")
}
# newer than 1.20; kubernetes-validate knows it (test_eks_manifests.py)
UNKNOWN = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
KNOWN = [document for document in manifests() if document["kind"] not in UNKNOWN]


def existing(cluster: Real) -> set[Right]:
    """Every verb of every resource that the server has."""
    versions = [("", "/api/v1")]
    groups = cluster.admin.get("/apis") or {}
    versions += [(group["name"], f"/apis/{group['preferredVersion']['groupVersion']}") for group in groups["groups"]]
    return {
        Right(group, resource["name"], verb)
        for group, path in versions
        for resource in (cluster.admin.get(path) or {})["resources"]
        for verb in resource["verbs"]
    }


def allowed(cluster: Real, user: str) -> set[Right]:
    """All that the server would let the account do in our namespace and outside of namespaces."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": "paceline-system"},
    }
    answer = cluster.client(user).ask("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review)
    assert answer["status"]["incomplete"] is False
    return {
        Right(group, resource, verb)
        for rule in answer["status"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("user", [CONTROLLER, AGENT])
def test_an_account_may_do_what_its_roles_say_and_nothing_else(
    real_cluster: Real, user: str, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = existing(real_cluster)
    found = allowed(real_cluster, user)
    assert found == granted(user) | EVERYBODY
    denied = everything - found
    assert {
        Right("", "nodes", "delete"),
        Right("", "pods", "delete"),
        Right("", "pods/exec", "create"),
        Right("", "nodes/proxy", "create"),
        Right("", "secrets", "get"),
        Right("", "configmaps", "list"),
        Right("", "serviceaccounts/token", "create"),
        Right("rbac.authorization.k8s.io", "clusterrolebindings", "create"),
    } <= denied
    with capsys.disabled():
        sys.stdout.write(f"\n{user}: {len(granted(user))} rights of {len(everything)}, {len(denied)} denied\n")


@pytest.mark.parametrize("document", KNOWN, ids=lambda d: f"{d['kind']} {d['metadata']['name']}")
def test_the_server_takes_our_manifests_as_they_are(real_cluster: Real, document: dict[str, Any]) -> None:
    """A dry run: everything is checked, nothing kept. What it gives back holds every field that we wrote."""
    name = {**document["metadata"], "name": f"dry-{document['metadata']['name']}"}
    answer = real_cluster.admin.ask(f"{collection(document)}?dryRun=All", {**document, "metadata": name})
    assert lost({**document, "metadata": name} | {"apiVersion": answer["apiVersion"]}, answer) == []


def lost(written: Any, taken: Any, path: str = "") -> list[str]:
    """Fields that the server did not know, and so dropped."""
    if isinstance(written, dict) and isinstance(taken, dict):
        return [
            problem
            for key, value in written.items()
            for problem in (lost(value, taken[key], f"{path}.{key}") if key in taken else [f"{path}.{key}"])
        ]
    if isinstance(written, list) and isinstance(taken, list) and len(written) == len(taken):
        return [
            problem
            for i, (a, b) in enumerate(zip(written, taken, strict=True))
            for problem in lost(a, b, f"{path}[{i}]")
        ]
    return [] if isinstance(taken, type(written)) else [path]
