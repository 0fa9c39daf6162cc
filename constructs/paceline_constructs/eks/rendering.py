"""What is installed into a cluster, as files: Helm values, plain manifests, and the scripts that bring them there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

from paceline.catalog.cluster_software import Software, SoftwareImage, cluster_software
from paceline.catalog.instance_types import InstanceType
from paceline.spec.names import (
    LABEL_ACCELERATOR,
    LABEL_ROLE,
    LABEL_TEAM,
    METRICS_PORT,
    ROLE_ACCELERATOR,
    ROLE_SYSTEM,
    RUN_POD,
    SYSTEM_NAMESPACE,
    TAINTS,
)
from paceline_constructs.eks.mirror import UNKNOWN, copies, image_repository, table

_DATA = files(__package__) / "software"

# kube-system exists; nobody but Kubernetes may own it
_GIVEN = "kube-system"

# what runs of paceline itself: the manifest's name, and what it rolls out
_AGENT, _CONTROLLER = ("node-agent", "daemonset/paceline-agent"), ("controller", "deployment/paceline-controller")


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnImage:
    """An image of paceline itself: a repository of the team, and a tag or digest."""

    repository: str
    tag: str

    @property
    def reference(self) -> str:
        """What follows the prefix of the team's repositories in the image's address."""
        return f"{self.repository}{'@' if self.tag.startswith('sha256:') else ':'}{self.tag}"


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftwareProps:
    """`install` are names of the catalog, in order; `types` are the accelerator types of the cluster.

    `repository_prefix` is where the team's repositories and the copies of public charts and images lie in its registry.
    Without `node_agent` or `controller` there is none.
    """

    team: str
    repository_prefix: str
    install: Sequence[str]
    types: Sequence[InstanceType]
    node_agent: OwnImage | None = None
    controller: OwnImage | None = None

    @property
    def rows(self) -> dict[str, Software]:
        """The catalog's rows of what is installed, in order."""
        return {name: cluster_software()[name] for name in self.install}


def render_mirror(props: SoftwareProps) -> dict[str, str]:
    """Text by path: `mirror.sh` copies public charts and images into the team's registry."""
    return {
        "mirror.sh": _read("mirror.sh"),
        "common.sh": _read("common.sh"),
        "mirror.tsv": table(copies(props.repository_prefix, props.rows)),
    }


def render(props: SoftwareProps) -> dict[str, str]:
    """Text by path: `apply.sh` installs the rest."""
    texts = {
        "apply.sh": _read("apply.sh"),
        "common.sh": _read("common.sh"),
        "mirror.tsv": table(copies(props.repository_prefix, props.rows)),
        "releases.tsv": "".join(_release(name, row) for name, row in props.rows.items()),
        "manifests/00-namespaces.yaml": yaml.safe_dump_all(_namespaces(props), sort_keys=False),
    }
    for name, row in props.rows.items():
        [values] = _documents(f"values/{name}.yaml", _words(props))
        for image in row.images:
            _set_image(values, image, image_repository(props.repository_prefix, image))
        texts[f"values/{name}.yaml"] = yaml.safe_dump(values, sort_keys=False)
    rolled_out = []
    for (name, workload), own in ((_AGENT, props.node_agent), (_CONTROLLER, props.controller)):
        if own is not None:
            address = f"${{REGISTRY}}/{props.repository_prefix}/{own.reference}"
            documents = _documents(f"manifests/{name}.yaml", _words(props) | {"$image": address})
            texts[f"manifests/{name}.yaml"] = yaml.safe_dump_all(documents, sort_keys=False)
            rolled_out.append(f"{workload}\n")
    texts["rollouts.txt"] = "".join(rolled_out)
    return texts


def _read(name: str) -> str:
    return (_DATA / name).read_text(encoding="utf-8")


def _release(name: str, row: Software) -> str:
    """A line of releases.tsv. The digest of an archive is compared again before it is installed."""
    in_registry = row.chart.repository.startswith("oci://")
    digest = UNKNOWN if in_registry else row.chart.digest or UNKNOWN
    return f"{name}\t{row.namespace}\t{row.chart.name}\t{row.chart.version}\t{digest}\n"


def _words(props: SoftwareProps) -> dict[str, Any]:
    """What the $words of values and manifests stand for."""
    return {
        "$team": props.team,
        "$labels": {"app.kubernetes.io/part-of": "paceline", LABEL_TEAM: props.team},
        "$metrics_port": METRICS_PORT,
        "$metrics_port_text": str(METRICS_PORT),
        "$system_nodes": {LABEL_ROLE: ROLE_SYSTEM},
        "$accelerator_nodes": {LABEL_ROLE: ROLE_ACCELERATOR},
        **{f"${family}_nodes": {LABEL_ACCELERATOR: family} for family in TAINTS},
        "$tolerations": [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key, _ in TAINTS.values()],
        "$efa_types": sorted(row.instance_type for row in props.types if row.has_efa),
    }


def _documents(path: str, words: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The YAML documents of the file with their $words replaced."""
    return [_replace(document, words) for document in yaml.safe_load_all(_read(path))]


def _replace(node: Any, words: Mapping[str, Any]) -> Any:
    if isinstance(node, dict):
        return {key: _replace(item, words) for key, item in node.items()}
    if isinstance(node, list):
        return [_replace(item, words) for item in node]
    return words.get(node, node) if isinstance(node, str) else node


def _set_image(values: dict[str, Any], image: SoftwareImage, repository: str) -> None:
    _set(values, image.values.repository, f"${{REGISTRY}}/{repository}")
    _set(values, image.values.tag, image.tag)


def _set(values: dict[str, Any], path: str, value: Any) -> None:
    *parents, leaf = path.split(".")
    for key in parents:
        values = values.setdefault(key, {})
    values[leaf] = value


def _namespaces(props: SoftwareProps) -> Iterator[dict[str, Any]]:
    for name in dict.fromkeys([SYSTEM_NAMESPACE, RUN_POD[0], *(row.namespace for row in props.rows.values())]):
        if name != _GIVEN:
            metadata = {"name": name, "labels": {LABEL_TEAM: props.team}}
            yield {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
