"""Facts about PCS, OpenZFS and HyperPod: rows that contradict each other would let a mistake through."""

from __future__ import annotations

import pytest

from paceline.catalog.fsx import open_zfs
from paceline.catalog.hyperpod import hyperpod
from paceline.catalog.instance_types import instance_type, instance_types
from paceline.catalog.slurm import image_kind, pcs


def test_versions_end_in_order_and_the_supported_ones_are_the_newest() -> None:
    versions = pcs().versions
    assert list(versions) == sorted(versions, key=lambda version: version.end_of_life, reverse=True)
    assert [version.supported for version in versions] == sorted((v.supported for v in versions), reverse=True)
    assert pcs().version("22.05") is None


def test_a_larger_controller_manages_more() -> None:
    nodes = [size.nodes for size in pcs().sizes]
    assert nodes == sorted(nodes)
    assert pcs().size("MEDIUM").jobs == 8192


@pytest.mark.parametrize(
    ("name", "kind"),
    [("p5.48xlarge", "nvidia"), ("p6e-gb200.36xlarge", "nvidia-arm64"), ("trn2.48xlarge", "neuron")],
)
def test_image_of_an_instance_type(name: str, kind: str) -> None:
    assert image_kind(instance_type(name)) == kind


def test_open_zfs_throughput_is_ordered() -> None:
    assert list(open_zfs().throughputs_mbps) == sorted(open_zfs().throughputs_mbps)


def test_hyperpod_runs_hosts_and_the_accelerators_of_the_catalog() -> None:
    rules = hyperpod()
    assert rules.has("m5.4xlarge") and not rules.has("m5.3xlarge")
    assert rules.has("p5.48xlarge") and not rules.has("trn1.2xlarge")
    assert not set(rules.hosts) & set(instance_types())
