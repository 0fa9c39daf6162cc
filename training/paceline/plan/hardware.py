"""What a plan needs to know of the machines: how much, and how fast, one process of a node computes and sends. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from paceline.catalog.instance_types import instance_type
from paceline.catalog.links import links

TERA, GIGA, GIB, BITS = 1e12, 1e9, 1 << 30, 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    """Nodes of one kind. Of a process: `peak` in dense bfloat16 FLOP/s, `memory` in bytes, and bytes per second
    `within_node` and `to_host`. Of a node: bytes per second `between_nodes`, as collectives get them, and `over_ip`.
    None is not known."""

    name: str
    processes: int
    peak: float | None = None
    memory: float | None = None
    within_node: float | None = None
    between_nodes: float | None = None
    over_ip: float | None = None
    to_host: float | None = None

    @classmethod
    def of(cls, name: str) -> Hardware:
        """Of an instance type of the catalog; ParameterError if there is none, or nobody knows what it runs."""
        row, link, network = instance_type(name), links().of(name), links().network
        processes, accelerators = row.processes or 0, row.accelerator_count or 0
        assert processes and accelerators, "an instance type of which this is unknown is refused with the recipe"
        share = accelerators / processes
        return cls(
            name=name,
            processes=processes,
            peak=row.bf16_dense_tflops * TERA * share,
            memory=None if row.memory_gib_per_process is None else row.memory_gib_per_process * GIB,
            within_node=None if link is None or link.within_node is None else link.within_node * GIGA * share,
            between_nodes=None if row.network_gbps is None else row.network_gbps * GIGA / BITS * network.share,
            over_ip=None if row.ena_gbps_max is None else row.ena_gbps_max * GIGA / BITS,
            to_host=None if link is None or link.to_host is None else link.to_host * GIGA * share,
        )

    def bandwidth(self, ranks: int, stride: int) -> float | None:
        """Bytes per second that a collective of `ranks`, each `stride` after the one before, gives each of them, while
        all ranks of the node are in such a one: they share what leaves the node."""
        together = max(1, min(ranks, self.processes // stride))
        if together == ranks:
            return self.within_node
        if self.between_nodes is None:
            return None
        leaving = self.between_nodes * together / self.processes
        return leaving if self.within_node is None or together == 1 else min(leaving, self.within_node)
