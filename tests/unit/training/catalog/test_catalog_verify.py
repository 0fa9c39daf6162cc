"""What EC2 says against what the catalog says."""

from __future__ import annotations

import copy
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from paceline.catalog.instance_types import InstanceType, instance_type, instance_types
from paceline.catalog.verify import differences
from paceline.clients import ec2
from paceline.spec.errors import ClusterError


def described(row: InstanceType) -> dict[str, Any]:
    """DescribeInstanceTypes about a type that is as the catalog says."""
    assert row.memory_gib_per_accelerator is not None
    assert row.host_memory_gib is not None
    assert row.network_cards is not None
    memory = {"SizeInMiB": row.memory_gib_per_accelerator * 1024 + 100}
    device = {"Count": row.accelerator_count, "MemoryInfo": memory}
    if row.family == "neuron":
        assert row.accelerator_count is not None
        assert row.neuron_cores is not None
        device["CoreInfo"] = {"Count": row.neuron_cores // row.accelerator_count}
    efa_cards = range(0 if row.efa_on_card_0 else 1, row.network_cards) if row.has_efa else range(0)
    return {
        "InstanceType": row.instance_type,
        "ProcessorInfo": {"SupportedArchitectures": [row.cpu_arch]},
        "VCpuInfo": {"DefaultVCpus": row.vcpu},
        "MemoryInfo": {"SizeInMiB": row.host_memory_gib * 1024},
        "InstanceStorageInfo": {"TotalSizeInGB": row.local_nvme_gb} if row.local_nvme_gb else {},
        "GpuInfo": {"Gpus": [device] if row.family == "nvidia" else []},
        "NeuronInfo": {"NeuronDevices": [device] if row.family == "neuron" else []},
        "NetworkInfo": {
            "MaximumNetworkCards": row.network_cards,
            "MaximumNetworkInterfaces": row.max_enis,
            "NetworkCards": [
                {
                    "NetworkCardIndex": card,
                    "MaximumNetworkInterfaces": row.max_enis_per_card or 2,
                    "InterfaceTypes": ["interface", *(["efa", "efa-only"] if card in efa_cards else [])],
                }
                for card in range(row.network_cards)
            ],
            **({"EfaInfo": {"MaximumEfaInterfaces": row.max_efa_interfaces}} if row.has_efa else {}),
        },
    }


REAL = [row for row in instance_types().values() if row.layouts and row.max_enis_per_card]


@pytest.mark.parametrize("row", REAL, ids=lambda row: row.instance_type)
def test_a_type_as_described_differs_in_nothing(row: InstanceType) -> None:
    assert list(differences(row, described(row))) == []


@pytest.mark.parametrize(
    ("fact", "change"),
    [
        ("accelerator_count", lambda it: it["GpuInfo"]["Gpus"][0].update(Count=4)),
        ("memory_gib_per_accelerator", lambda it: it["GpuInfo"]["Gpus"][0]["MemoryInfo"].update(SizeInMiB=192_000)),
        ("vcpu", lambda it: it["VCpuInfo"].update(DefaultVCpus=96)),
        ("host_memory_gib", lambda it: it["MemoryInfo"].update(SizeInMiB=1024)),
        ("cpu_arch", lambda it: it["ProcessorInfo"].update(SupportedArchitectures=["arm64"])),
        ("local_nvme_gb", lambda it: it["InstanceStorageInfo"].update(TotalSizeInGB=1)),
        ("max_enis", lambda it: it["NetworkInfo"].update(MaximumNetworkInterfaces=16)),
        ("max_efa_interfaces", lambda it: it["NetworkInfo"].update(EfaInfo={"MaximumEfaInterfaces": 17})),
    ],
)
def test_a_fact_that_changed_is_named(fact: str, change: Any) -> None:
    row = instance_type("p6-b300.48xlarge")
    item = copy.deepcopy(described(row))
    change(item)
    [difference] = differences(row, item)
    assert (difference.instance_type, difference.fact) == ("p6-b300.48xlarge", fact)
    assert difference.catalog == getattr(row, fact)
    assert difference.ec2 != difference.catalog


def test_a_layout_on_a_card_that_takes_no_efa_is_named() -> None:
    row = instance_type("p5en.48xlarge")
    item = described(row)
    item["NetworkInfo"]["NetworkCards"][0]["InterfaceTypes"] = ["interface"]
    [difference] = differences(row, item)
    assert (difference.fact, difference.ec2) == ("layouts.efa_only: card 0", "interface")


def test_a_layout_with_a_card_too_many_is_named() -> None:
    row = instance_type("p5en.48xlarge")
    item = described(row)
    item["NetworkInfo"]["NetworkCards"].pop()
    [difference] = differences(row, item)
    assert (difference.fact, difference.ec2) == ("layouts.efa_only: card 15", "no such card")


def test_a_layout_with_an_interface_too_many_is_named() -> None:
    row = instance_type("p5en.48xlarge")
    item = described(row)
    item["NetworkInfo"]["NetworkCards"][0]["MaximumNetworkInterfaces"] = 1
    found = {(d.fact, d.catalog): d.ec2 for d in differences(row, item)}
    assert found == {("layouts.efa_only: card 0", "device 1"): "at most 1 interfaces"}


def test_the_memory_of_trainium2_which_ec2_reports_wrongly_is_no_difference() -> None:
    row = instance_type("trn2.48xlarge")
    item = described(row)
    item["NeuronInfo"]["NeuronDevices"][0]["MemoryInfo"]["SizeInMiB"] = 512 * 1024
    assert list(differences(row, item)) == []


def test_what_ec2_says_is_asked_by_filter() -> None:
    client = boto3.client("ec2", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    rows = [instance_type("p5.48xlarge"), instance_type("trn3-gen1")]
    names = [row.instance_type for row in rows]
    with Stubber(client) as stub:
        stub.add_response(
            "describe_instance_types",
            {"InstanceTypes": [described(rows[0])]},
            {"Filters": [{"Name": "instance-type", "Values": names}]},
        )
        found = ec2.instance_types(client, names)
    assert list(found) == ["p5.48xlarge"]
    assert list(differences(rows[0], found["p5.48xlarge"])) == []


def test_a_refusal_of_ec2_is_a_sentence() -> None:
    client = boto3.client("ec2", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        stub.add_client_error("describe_instance_types", "UnauthorizedOperation", "You are not authorized")
        with pytest.raises(ClusterError, match="EC2 refused: .*not authorized"):
            ec2.instance_types(client, ["p5.48xlarge"])
