"""Where the catalog and EC2 disagree about an instance type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from paceline.catalog.instance_types import InstanceType
from paceline.spec.base import Record

Described = Mapping[str, Any]


class Difference(Record):
    """One fact of one type. `catalog` is None where nobody had verified the fact; `ec2` where EC2 does not say."""

    instance_type: str
    fact: str
    catalog: Any
    ec2: Any


def differences(row: InstanceType, described: Described) -> Iterator[Difference]:
    """What differs between `row` and an item of DescribeInstanceTypes. Facts that the API lacks are not compared."""
    for fact, read in _FACTS.items():
        if fact == "memory_gib_per_accelerator" and row.memory_warning:
            continue  # EC2 is known to be wrong
        mine, theirs = getattr(row, fact), read(described)
        if theirs is not None and mine != theirs:
            yield Difference(instance_type=row.instance_type, fact=fact, catalog=mine, ec2=theirs)
    yield from _misplaced(row, described)


def _misplaced(row: InstanceType, described: Described) -> Iterator[Difference]:
    """Interfaces of a layout on a card that does not take their kind or so many."""
    cards = {card["NetworkCardIndex"]: card for card in described["NetworkInfo"].get("NetworkCards", [])}
    for name, layout in (row.layouts or {}).items():
        for interface in layout.interfaces:
            fact = f"layouts.{name}: card {interface.card}"
            card = cards.get(interface.card)
            if card is None:
                yield Difference(instance_type=row.instance_type, fact=fact, catalog=interface.kind, ec2="no such card")
                continue
            kinds = card.get("InterfaceTypes")  # older regions do not say
            wanted = "interface" if interface.kind == "ena" else interface.kind
            if kinds is not None and wanted not in kinds:
                shown = ", ".join(kinds)
                yield Difference(instance_type=row.instance_type, fact=fact, catalog=wanted, ec2=shown)
            if interface.device >= card["MaximumNetworkInterfaces"]:
                most = f"at most {card['MaximumNetworkInterfaces']} interfaces"
                yield Difference(
                    instance_type=row.instance_type, fact=fact, catalog=f"device {interface.device}", ec2=most
                )


def _devices(described: Described) -> list[Described]:
    gpus: list[Described] = described.get("GpuInfo", {}).get("Gpus", [])
    neuron: list[Described] = described.get("NeuronInfo", {}).get("NeuronDevices", [])
    return [*gpus, *neuron]


def _count(described: Described) -> int | None:
    return sum(device["Count"] for device in _devices(described)) or None


def _memory_gib(described: Described) -> int | None:
    sizes = [device["MemoryInfo"]["SizeInMiB"] for device in _devices(described) if "MemoryInfo" in device]
    return sizes[0] // 1024 if sizes else None


def _neuron_cores(described: Described) -> int | None:
    devices = described.get("NeuronInfo", {}).get("NeuronDevices", [])
    return sum(device["Count"] * device["CoreInfo"]["Count"] for device in devices) or None


def _per_card(described: Described) -> int | None:
    cards = described["NetworkInfo"].get("NetworkCards", [])
    return max((card["MaximumNetworkInterfaces"] for card in cards), default=None)


_FACTS: dict[str, Callable[[Described], Any]] = {
    "accelerator_count": _count,
    "memory_gib_per_accelerator": _memory_gib,
    "neuron_cores": _neuron_cores,
    "vcpu": lambda it: it["VCpuInfo"]["DefaultVCpus"],
    "host_memory_gib": lambda it: it["MemoryInfo"]["SizeInMiB"] // 1024,
    "cpu_arch": lambda it: it["ProcessorInfo"]["SupportedArchitectures"][0],
    "local_nvme_gb": lambda it: it.get("InstanceStorageInfo", {}).get("TotalSizeInGB"),
    "network_cards": lambda it: it["NetworkInfo"].get("MaximumNetworkCards"),
    "max_enis": lambda it: it["NetworkInfo"].get("MaximumNetworkInterfaces"),
    "max_enis_per_card": _per_card,
    "max_efa_interfaces": lambda it: it["NetworkInfo"].get("EfaInfo", {}).get("MaximumEfaInterfaces"),
}
