"""What is installed into a cluster: values that charts read, on the nodes they belong to, from the team's registry."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from paceline.catalog.cluster_software import cluster_software
from paceline.catalog.instance_types import instance_type
from paceline.spec.names import PROMETHEUS_POD, TAINTS
from paceline_constructs.eks.rendering import OwnImage, SoftwareProps, render, render_mirror


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return render(
        SoftwareProps(
            team="alpha",
            repository_prefix="paceline/alpha",
            install=tuple(cluster_software()),
            types=[instance_type("p5en.48xlarge"), instance_type("trn1.2xlarge")],
            node_agent=OwnImage(repository="node-agent", tag="0.1.0"),
            controller=OwnImage(repository="controller", tag=f"sha256:{'0' * 64}"),
        )
    )


def values(texts: dict[str, str], name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(texts[f"values/{name}.yaml"])
    return loaded


def words(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [word for item in node.values() for word in words(item)]
    if isinstance(node, list):
        return [word for item in node for word in words(item)]
    return [node] if isinstance(node, str) else []


def test_everything_rendered_is_yaml_without_words_left_over(texts: dict[str, str]) -> None:
    for name, text in texts.items():
        if name.endswith(".yaml"):
            for document in yaml.safe_load_all(text):
                assert not [word for word in words(document) if word.startswith("$") and not word.startswith("${")]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("nvidia-device-plugin", ()),
        ("neuron-device-plugin", ("devicePlugin",)),
        ("efa-device-plugin", ()),
    ],
)
def test_what_runs_on_accelerator_nodes_tolerates_their_taints(
    texts: dict[str, str], name: str, place: tuple[str, ...]
) -> None:
    node = values(texts, name)
    for key in place:
        node = node[key]
    tolerated = {(t["key"], t["operator"], t["effect"]) for t in node["tolerations"]}
    assert tolerated >= {(key, "Exists", "NoSchedule") for key, _ in TAINTS.values()}


@pytest.mark.parametrize(
    ("name", "place"),
    [("kueue", "controllerManager"), ("jobset", "controller"), ("prometheus-agent", "server")],
)
def test_controllers_stay_on_system_nodes(texts: dict[str, str], name: str, place: str) -> None:
    assert values(texts, name)[place]["nodeSelector"] == {"paceline.dev/role": "system"}


def test_no_image_comes_from_the_internet(texts: dict[str, str]) -> None:
    for name, row in cluster_software().items():
        for image in row.images:
            assert image.name not in texts[f"values/{name}.yaml"]
            assert f"${{REGISTRY}}/paceline/alpha/images/{image.short_name}" in texts[f"values/{name}.yaml"]


def test_efa_is_offered_on_types_that_have_it(texts: dict[str, str]) -> None:
    assert values(texts, "efa-device-plugin")["supportedInstanceLabels"]["values"] == ["p5en.48xlarge"]


def test_metrics_are_sent_by_the_pod_that_may(texts: dict[str, str]) -> None:
    namespace, account = PROMETHEUS_POD
    assert cluster_software()["prometheus-agent"].namespace == namespace
    assert values(texts, "prometheus-agent")["serviceAccounts"]["server"]["name"] == account


def test_the_script_reads_every_release(texts: dict[str, str]) -> None:
    rows = [line.split("\t") for line in texts["releases.tsv"].splitlines()]
    assert [row[0] for row in rows] == list(cluster_software())
    assert all(len(row) == 5 for row in rows)
    assert all(f"values/{row[0]}.yaml" in texts for row in rows)


def test_both_projects_know_the_same_copies(texts: dict[str, str]) -> None:
    props = SoftwareProps(team="alpha", repository_prefix="paceline/alpha", install=tuple(cluster_software()), types=())
    assert render_mirror(props)["mirror.tsv"] == texts["mirror.tsv"]
    rows = [line.split("\t") for line in texts["mirror.tsv"].splitlines()]
    assert all(len(row) == 5 and all(row) for row in rows)
    assert ["chart", "registry.k8s.io/jobset/charts/jobset", "0.12.0"] in [row[:3] for row in rows]
    assert ["archive", "https://nvidia.github.io/k8s-device-plugin/nvidia-device-plugin", "0.20.0"] in [
        row[:3] for row in rows
    ]
    assert {row[4] for row in rows if row[0] == "image"} == {
        f"paceline/alpha/images/{image.short_name}" for row in cluster_software().values() for image in row.images
    }
