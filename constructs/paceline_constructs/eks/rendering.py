"""What is installed into a cluster, as files: Helm values, plain manifests, and what must be copied beforehand."""

from __future__ import annotations

import json
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
    ROLE_ACCELERATOR,
    ROLE_SYSTEM,
    RUN_POD,
    SYSTEM_NAMESPACE,
    TAINTS,
)

_DATA = files(__package__) / "software"

# kube-system exists; nobody but Kubernetes may own it
_GIVEN = "kube-system"


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnImage:
    """An image of paceline itself: a repository of the team, and a tag or digest."""

    repository: str
    tag: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftwareProps:
    """`install` are names of the catalog, in order; `types` are the accelerator types of the cluster.

    `repository_prefix` is where the team's repositories and the copies of public charts and images lie in its registry.
    Without `node_agent` or `controller` no values are rendered for it.
    """

    team: str
    repository_prefix: str
    install: Sequence[str]
    types: Sequence[InstanceType]
    node_agent: OwnImage | None = None
    controller: OwnImage | None = None


def chart_repository(props: SoftwareProps, software: Software) -> str:
    """Where the copy of the chart lies in the team's registry."""
    return f"{props.repository_prefix}/charts/{software.chart.name}"


def image_repository(props: SoftwareProps, image: SoftwareImage) -> str:
    """Where the copy of the image lies in the team's registry."""
    return f"{props.repository_prefix}/images/{image.short_name}"


def selected(props: SoftwareProps) -> dict[str, Software]:
    """The catalog's rows of what is installed, in order."""
    return {name: cluster_software()[name] for name in props.install}


def render(props: SoftwareProps) -> dict[str, str]:
    """Text by path: `apply.sh` installs the rest. `mirror.json` says which public charts and images to copy where."""
    rows = selected(props)
    own = {"node-agent": props.node_agent, "controller": props.controller}
    texts = {
        "apply.sh": (_DATA / "apply.sh").read_text(encoding="utf-8"),
        "releases.tsv": "".join(
            f"{name}\t{row.namespace}\t{row.chart.name}\t{row.chart.version}\n" for name, row in rows.items()
        ),
        "manifests/namespaces.yaml": yaml.safe_dump_all(_namespaces(props, rows), sort_keys=False),
        "mirror.json": json.dumps(list(_copies(props, rows)), indent=2) + "\n",
    }
    for name, row in rows.items():
        values = _values(name, props)
        for image in row.images:
            _set_image(values, image, image_repository(props, image))
        texts[f"values/{name}.yaml"] = yaml.safe_dump(values, sort_keys=False)
    for name, ours in own.items():
        if ours is not None:
            repository = f"${{REGISTRY}}/{props.repository_prefix}/{ours.repository}"
            values = _values(name, props) | {"image": {"repository": repository, "tag": ours.tag}}
            texts[f"values/paceline-{name}.yaml"] = yaml.safe_dump(values, sort_keys=False)
    return texts


def _values(name: str, props: SoftwareProps) -> dict[str, Any]:
    """The values file of `name` with its $words replaced."""
    words: dict[str, Any] = {
        "$system_nodes": {LABEL_ROLE: ROLE_SYSTEM},
        "$accelerator_nodes": {LABEL_ROLE: ROLE_ACCELERATOR},
        **{f"${family}_nodes": {LABEL_ACCELERATOR: family} for family in TAINTS},
        "$tolerations": [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key, _ in TAINTS.values()],
        "$efa_types": sorted(row.instance_type for row in props.types if row.has_efa),
    }
    values: dict[str, Any] = _replace(yaml.safe_load((_DATA / f"{name}.yaml").read_text(encoding="utf-8")), words)
    return values


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


def _namespaces(props: SoftwareProps, rows: Mapping[str, Software]) -> Iterator[dict[str, Any]]:
    for name in dict.fromkeys([SYSTEM_NAMESPACE, RUN_POD[0], *(row.namespace for row in rows.values())]):
        if name != _GIVEN:
            metadata = {"name": name, "labels": {LABEL_TEAM: props.team}}
            yield {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _copies(props: SoftwareProps, rows: Mapping[str, Software]) -> Iterator[dict[str, str | None]]:
    for row in rows.values():
        chart = row.chart
        yield {
            "chart": f"{chart.repository}/{chart.name}",
            "version": chart.version,
            "to": chart_repository(props, row),
        }
        for image in row.images:
            yield {"image": image.name, "tag": image.tag, "to": image_repository(props, image)}
