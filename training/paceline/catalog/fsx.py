"""Which FSx file systems exist: sizes, throughput and, for Lustre, what EFA asks of both (fsx.yaml)."""

from __future__ import annotations

from functools import cache

from paceline.catalog.tables import read_table
from paceline.spec.base import Record


class Tier(Record):
    """One throughput tier: MB/s per TiB of storage, and the step in GiB of EFA-enabled file systems in it."""

    mbps_per_tib: int
    efa_size_step_gib: int


class LustreRules(Record):
    """What FSx for Lustre accepts. Ports are inclusive ranges, needed in both directions."""

    deployment_type: str
    file_system_type_version: str
    first_sizes_gib: tuple[int, ...]
    size_step_gib: int
    tiers: tuple[Tier, ...]
    ports: tuple[tuple[int, int], ...]

    def tier(self, mbps_per_tib: int) -> Tier | None:
        """The tier of that throughput, or None when AWS has none."""
        return next((tier for tier in self.tiers if tier.mbps_per_tib == mbps_per_tib), None)

    def nearest_sizes(self, size_gib: int, tier: Tier, *, efa: bool) -> tuple[int, ...]:
        """The legal sizes next to `size_gib`, in GiB: itself alone when it is legal, else one or two others."""
        step = tier.efa_size_step_gib if efa else self.size_step_gib
        first = () if efa else self.first_sizes_gib
        if size_gib in first or (size_gib >= step and size_gib % step == 0):
            return (size_gib,)
        below = size_gib // step * step
        legal = sorted({*first, max(below, step), below + step})
        smaller = [size for size in legal if size < size_gib][-1:]
        larger = [size for size in legal if size > size_gib][:1]
        return (*smaller, *larger)


class OpenZfsRules(Record):
    """What FSx for OpenZFS accepts. Ports are inclusive ranges, from clients to the server, TCP and UDP."""

    deployment_type: str
    deployment_type_available: str
    throughputs_mbps: tuple[int, ...]
    min_size_gib: int
    max_size_gib: int
    max_backup_days: int
    ports: tuple[tuple[int, int], ...]


@cache
def lustre() -> LustreRules:
    """The rules of FSx for Lustre."""
    return LustreRules.model_validate(read_table("fsx")["lustre"])


@cache
def open_zfs() -> OpenZfsRules:
    """The rules of FSx for OpenZFS."""
    return OpenZfsRules.model_validate(read_table("fsx")["open_zfs"])
