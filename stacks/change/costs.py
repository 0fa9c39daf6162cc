"""What a team's nodes and file systems cost in a month, by the prices of platform.yaml."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from stacks.settings import Parameters
from stacks.settings.prices import Availability, Prices, PurchaseKind

HOURS_PER_MONTH = 730  # 8760 / 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """Something with one price: `usd` of a month of one `unit`, None when unknown; `price` is its path in the file."""

    what: str
    unit: str
    price: str
    usd: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """The most that there can be of one kind, before and after."""

    kind: Kind
    before: int
    after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Bill:
    """Everything that has a price by time. Requests, traffic, endpoints, control planes and buckets are not in it.

    `before_usd` and `after_usd` are sums over what has a known price; `budget_usd` is the team's, None without one.
    """

    costs: tuple[Cost, ...]
    before_usd: float
    after_usd: float
    budget_usd: int | None


def bill(old: Parameters | None, new: Parameters) -> Bill:
    """What the team takes before and after, both at the prices of `new`, when every node is there all month."""
    before = _counted(old, new.prices) if old else Counter[Kind]()
    after = _counted(new, new.prices)
    budget = new.governance.budget if new.governance else None
    return Bill(
        costs=tuple(Cost(kind=k, before=before[k], after=after[k]) for k in dict.fromkeys([*before, *after])),
        before_usd=_sum(before),
        after_usd=_sum(after),
        budget_usd=budget.monthly_usd if budget else None,
    )


def _sum(counted: Counter[Kind]) -> float:
    return sum(count * kind.usd for kind, count in counted.items() if kind.usd is not None)


def _counted(parameters: Parameters, prices: Prices) -> Counter[Kind]:
    counted: Counter[Kind] = Counter()
    for instance_type, purchase, nodes in _nodes(parameters):
        hour = prices.instance_hours.get(instance_type, {}).get(purchase)
        node = Kind(
            what=f"{instance_type} ({purchase})",
            unit="nodes",
            price=f"prices.instance_hours.{instance_type}.{purchase}",
            usd=None if hour is None else hour * HOURS_PER_MONTH,
        )
        counted[node] += nodes
    for kind, count in _file_systems(parameters, prices):
        counted[kind] += count
    return counted


def _nodes(parameters: Parameters) -> Iterator[tuple[str, PurchaseKind, int]]:
    """Instance type, how it is bought, and how many there can be."""
    for source in parameters.capacity.values():
        prefix = "ml." if source.serves == "hyperpod" else ""
        yield prefix + source.instance_type, source.purchase.kind, source.nodes
    if parameters.eks:
        system = parameters.eks.system_nodes
        yield system.instance_type, "on-demand", system.max_nodes * len(system.zones)
    if parameters.slurm:
        yield parameters.slurm.login.instance_type, "on-demand", parameters.slurm.login.nodes
    for group in parameters.hyperpod.groups.values() if parameters.hyperpod else ():
        yield f"ml.{group.instance_type}", "on-demand", group.nodes


def _file_systems(parameters: Parameters, prices: Prices) -> Iterator[tuple[Kind, int]]:
    lustre = parameters.storage.file_system
    tier = lustre.mbps_per_tib
    usd = prices.lustre_gib_months.get(tier)
    what = f"FSx for Lustre, {tier} MB/s per TiB"
    yield Kind(what=what, unit="GiB", price=f"prices.lustre_gib_months.{tier}", usd=usd), lustre.size_gib
    if parameters.slurm is None:
        return
    homes = parameters.slurm.homes
    kind: Availability = "highly-available" if homes.highly_available else "single"
    what = f"FSx for OpenZFS, {kind}"
    usd = prices.open_zfs_gib_months.get(kind)
    yield Kind(what=what, unit="GiB", price=f"prices.open_zfs_gib_months.{kind}", usd=usd), homes.size_gib
    usd = prices.open_zfs_mbps_months.get(kind)
    yield Kind(what=what, unit="MB/s", price=f"prices.open_zfs_mbps_months.{kind}", usd=usd), homes.mbps
