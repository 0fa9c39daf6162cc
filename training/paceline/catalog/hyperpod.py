"""What SageMaker HyperPod accepts: its limits, and the instance types beside the accelerators (hyperpod.yaml)."""

from __future__ import annotations

from functools import cache

from paceline.catalog.instance_types import instance_types
from paceline.catalog.tables import read_table
from paceline.spec.base import Record

PREFIX = "ml."  # what SageMaker puts before the name of an EC2 instance type


class HyperPodRules(Record):
    """The limits of one cluster. `families` maps a family of instances without accelerators to its sizes."""

    max_groups: int
    max_nodes_per_group: int
    max_priority_classes: int
    max_quota_entries: int
    max_borrow_percent: int
    max_volume_gib: int
    scripts_bucket_prefix: str
    families: dict[str, tuple[str, ...]]

    def has(self, name: str) -> bool:
        """Whether HyperPod runs instances of the EC2 type `name` (without `ml.`)."""
        if row := instance_types().get(name):
            return row.hyperpod is True
        family, _, size = name.partition(".")
        return size in self.families.get(family, ())

    @property
    def hosts(self) -> tuple[str, ...]:
        """The EC2 names of all types without accelerators."""
        return tuple(f"{family}.{size}" for family, sizes in self.families.items() for size in sizes)


@cache
def hyperpod() -> HyperPodRules:
    """The rules of SageMaker HyperPod."""
    return HyperPodRules.model_validate(read_table("hyperpod")["hyperpod"])
