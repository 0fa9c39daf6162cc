"""What the accounts of our manifests may do, and what they are seen to do."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

from paceline.spec.names import SYSTEM_NAMESPACE
from paceline_constructs.eks.rendering import OwnImage, SoftwareProps, render

ADMIN = "admin"
CONTROLLER = f"system:serviceaccount:{SYSTEM_NAMESPACE}:paceline-controller"
AGENT = f"system:serviceaccount:{SYSTEM_NAMESPACE}:paceline-agent"


class Right(NamedTuple):
    """`resource` has its subresource behind a slash; the group of the core is empty."""

    group: str
    resource: str
    verb: str


def manifests() -> list[dict[str, Any]]:
    """Everything that a cluster is given of paceline's own, in the order in which it is applied."""
    image = OwnImage(repository="any", tag="0.1.0")
    props = SoftwareProps(
        team="vision", repository_prefix="paceline/vision", install=(), types=(), node_agent=image, controller=image
    )
    texts = sorted((name, text) for name, text in render(props).items() if name.startswith("manifests/"))
    return [document for _, text in texts for document in yaml.safe_load_all(text)]


def collection(document: dict[str, Any]) -> str:
    """Where such an object is created."""
    version, namespace = document["apiVersion"], document["metadata"].get("namespace")
    base = "/api/v1" if version == "v1" else f"/apis/{version}"
    return f"{base}{f'/namespaces/{namespace}' if namespace else ''}/{document['kind'].lower()}s"


def granted(user: str) -> set[Right]:
    """All that the roles bound to a service account allow."""
    documents = manifests()
    roles = {(d["kind"], d["metadata"]["name"]): d["rules"] for d in documents if "rules" in d}
    bound = [
        (d["roleRef"]["kind"], d["roleRef"]["name"])
        for d in documents
        for subject in d.get("subjects", [])
        if user == f"system:serviceaccount:{subject['namespace']}:{subject['name']}"
    ]
    return {
        Right(group, resource, verb)
        for role in bound
        for rule in roles[role]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
