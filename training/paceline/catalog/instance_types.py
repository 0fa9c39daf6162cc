"""Accelerator instance types of AWS: what they hold and how their network cards must be wired (instance_types.yaml)."""

from __future__ import annotations

from functools import cache
from typing import Literal

from pydantic import Field

from paceline.catalog.tables import read_table
from paceline.spec.base import Record
from paceline.spec.documents import nearest
from paceline.spec.errors import ParameterError

Family = Literal["nvidia", "neuron"]


class Interface(Record):
    """One network interface of a launch template. `ena` has an IP address; `efa-only` has none."""

    card: int
    device: int
    kind: Literal["ena", "efa-only"]


class Slots(Record):
    """The same device index on several network cards, written as `0`, `1-16` or `1,5,9,13`."""

    cards: str = Field(pattern=r"^\d+(-\d+)?(,\d+(-\d+)?)*$")
    device: int

    def expand(self, kind: Literal["ena", "efa-only"]) -> tuple[Interface, ...]:
        cards: list[int] = []
        for part in self.cards.split(","):
            first, _, last = part.partition("-")
            cards += range(int(first), int(last or first) + 1)
        return tuple(Interface(card=card, device=self.device, kind=kind) for card in cards)


class Layout(Record):
    """One way to wire the cards. `min_private_ips` is what it takes from the subnet per instance."""

    ena: tuple[Slots, ...]
    efa: tuple[Slots, ...]
    min_private_ips: int

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """All interfaces, in the order of card and device."""
        every = [i for slots in self.ena for i in slots.expand("ena")]
        every += [i for slots in self.efa for i in slots.expand("efa-only")]
        return tuple(sorted(every, key=lambda i: (i.card, i.device)))


class Rdma(Record):
    read: bool
    write: bool


class UltraServer(Record):
    """Instances that share one accelerator fabric. The totals are per UltraServer."""

    types: tuple[str, ...] | None
    instances: tuple[int, ...]
    accelerators: tuple[int, ...]
    host_vcpus: int | None = None
    host_memory_gib: int | None = None
    device_memory_gib: int | None = None
    efa_gbps: int | None = None
    fabric: str | None = None
    note: str | None = None


class CapacityBlock(Record):
    """Whether and where EC2 sells Capacity Blocks of the type."""

    available: bool | None
    kind: Literal["instance", "ultraserver"] = "instance"
    regions: tuple[str, ...] | None = None
    max_instances_per_block: int | None = None
    status: str | None = None
    shareable: bool | None = None
    terminate_before_end_min: int | None = None
    note: str | None = None


class InstanceType(Record):
    """One row. None means that no source was found: whoever needs the fact refuses instead of guessing.

    `nxd_tp_degrees` are the tensor-parallel degrees above one whose groups NeuronX Distributed is known to form.
    Memory is in GiB, bandwidth in Gbit/s per instance unless the name says per card, compute in dense TFLOP/s per
    accelerator.
    """

    instance_type: str
    sources: tuple[str, ...] = Field(min_length=1)
    notes: str | None = None

    accelerator: str
    accelerator_count: int | None
    accelerator_count_note: str | None = None
    memory_gib_per_accelerator: int | None
    memory_warning: str | None = None
    neuron_cores: int | None
    neuron_cores_logical_lnc2: int | None = None
    nxd_tp_degrees: tuple[int, ...] | None = None
    bf16_dense_tflops: int
    mxfp8_dense_tflops: int | None = None
    intra_node_fabric: str | None = None
    ultraserver: UltraServer | None
    topology_layers: int | None = None

    vcpu: int | None
    vcpu_note: str | None = None
    host_memory_gib: int | None = None
    cpu_arch: Literal["x86_64", "arm64"] | None = None
    local_nvme_gb: int | None
    nitro: int | None = None

    network_cards: int | None
    network_gbps: float | None
    network_gbps_baseline: float | None = None
    network_gbps_note: str | None = None
    max_enis: int | None = None
    max_enis_per_card: int | None = None
    max_efa_interfaces: int | None
    max_efa_interfaces_note: str | None = None
    efa_on_card_0: bool | None = None
    efa_only_supported: bool | None
    efa_gbps_per_card: int | None = None
    efa_gbps_effective: int | None = None
    efa_gbps_odd_cards: int | None = None
    efa_or_ena_gbps_even_cards: int | None = None
    ena_gbps_max: int | None = None
    ena_gbps_per_card: int | None = None
    ena_gbps_card_0: int | None = None
    shared_nic_pairs: tuple[tuple[int, int], ...] | None = None
    gpu_card_pairs: tuple[tuple[int, int], ...] | None = None
    rdma: Rdma | None = None
    layouts: dict[str, Layout] | None = None
    max_pods_default: int | None = None
    eks_default_max_pods_note: str | None = None

    capacity_block: CapacityBlock
    training_plan: bool | None = None
    hyperpod: bool | None = None
    on_demand: bool | None = None
    spot: bool | None = None
    fsx_lustre_efa_client: bool | None = None

    @property
    def family(self) -> Family:
        """Whose driver and software the accelerator needs."""
        return "nvidia" if self.accelerator.startswith("NVIDIA") else "neuron"

    @property
    def processes(self) -> int | None:
        """How many processes train on an instance: one per GPU, or per NeuronCore as they are grouped by default."""
        if self.family == "nvidia":
            return self.accelerator_count
        return self.neuron_cores_logical_lnc2 or self.neuron_cores

    @property
    def memory_gib_per_process(self) -> float | None:
        """What each of `processes` has of the accelerators' memory."""
        if self.processes is None or self.accelerator_count is None or self.memory_gib_per_accelerator is None:
            return None
        return self.memory_gib_per_accelerator * self.accelerator_count / self.processes

    @property
    def has_efa(self) -> bool:
        """Whether nodes of the type reach each other over EFA."""
        return bool(self.max_efa_interfaces)

    def layout(self, name: str | None = None) -> Layout | None:
        """The wiring called `name`, or the row's first, which takes the fewest addresses. None: there is none."""
        layouts = self.layouts or {}
        return next(iter(layouts.values()), None) if name is None else layouts.get(name)


@cache
def instance_types() -> dict[str, InstanceType]:
    """All rows by instance type."""
    rows = [InstanceType.model_validate(row) for row in read_table("instance_types")["instance_types"]]
    return {row.instance_type: row for row in rows}


@cache
def sources() -> dict[str, str]:
    """What the short names in `InstanceType.sources` stand for."""
    return dict(read_table("instance_types")["sources"])


def instance_type(name: str) -> InstanceType:
    """The row of `name`; ParameterError, with the nearest name, when the catalog has none."""
    rows = instance_types()
    if name not in rows:
        raise ParameterError(f"{name}: not an instance type of the catalog", nearest(name, list(rows)))
    return rows[name]
