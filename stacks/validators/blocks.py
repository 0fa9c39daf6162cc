"""What is wrong with a Capacity Block, of single instances or of whole UltraServers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC

from paceline.catalog.instance_types import InstanceType
from paceline.catalog.purchases import block_rules, whole_days
from paceline.catalog.zones import place
from paceline.spec.documents import Document
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.settings.capacity import CapacityBlock, CapacitySource, UltraServerBlock
from stacks.settings.location import Location
from stacks.validators.problems import At


def problems(source: CapacitySource, row: InstanceType, location: Location, at: At) -> Iterator[Problem]:
    """Problems of `source`, if it is bought as a block."""
    purchase = source.purchase
    if isinstance(purchase, CapacityBlock | UltraServerBlock):
        yield from _sold(source, row, location, at)
        yield from _times(purchase, at)
        if purchase.instances > (most := block_rules().max_instances_per_block):
            reason = f"a block holds at most {most} instances, not {purchase.instances}"
            yield at.problem(("purchase", "instances"), reason, "write one source per block")
    if isinstance(purchase, UltraServerBlock) and row.ultraserver is not None:
        size = min(row.ultraserver.instances)
        if purchase.instances % size:
            reason = f"{purchase.instances} instances are no whole UltraServers: one of {row.instance_type} has {size}"
            yield at.problem(("purchase", "instances"), reason, f"write a multiple of {size}")


def together(teams: Sequence[Team], documents: Mapping[str, Document]) -> Iterator[Problem]:
    """What all blocks of an account hold at one time, whoever of its teams bought them."""
    most = block_rules().max_instances_per_account_and_org_per_date
    bought: dict[str, dict[str, CapacityBlock | UltraServerBlock]] = defaultdict(dict)
    for team in teams:
        account = team.parameters.location.account
        blocks = bought[account]
        for name, source in team.parameters.capacity.items():
            purchase = source.purchase
            if not isinstance(purchase, CapacityBlock | UltraServerBlock) or purchase.reservation in blocks:
                continue  # sources may share a reservation
            blocks[purchase.reservation] = purchase
            if (total := _most_at_once(purchase, blocks.values())) > most:
                reason = f"EC2 sells {most} instances of blocks for one date, and {account} would have {total}"
                at = At(documents[team.name], ("capacity", name, "purchase"))
                yield at.problem(("instances",), reason, "buy less, for another time, or in another organization")


def _most_at_once(block: CapacityBlock | UltraServerBlock, blocks: Collection[CapacityBlock | UltraServerBlock]) -> int:
    """Most instances of `blocks`, `block` among them, while it lasts: they are most when one begins."""
    begins = [other.starts for other in blocks if block.starts <= other.starts < block.ends]
    at_once = (sum(each.instances for each in blocks if each.starts <= begin < each.ends) for begin in begins)
    return max(at_once, default=0)


def _sold(source: CapacitySource, row: InstanceType, location: Location, at: At) -> Iterator[Problem]:
    sold, ultra = row.capacity_block, source.purchase.kind == "ultraserver-block"
    path = ("purchase", "kind")
    if ultra and row.ultraserver is None:
        yield at.problem(path, f"there are no UltraServers of {row.instance_type}", "write capacity-block")
    elif sold.available is None:
        reason = f"no source says whether Capacity Blocks of {row.instance_type} are sold"
        yield at.problem(path, reason, "choose another instance_type or purchase.kind")
    elif not sold.available:
        reason = f"Capacity Blocks of {row.instance_type} are not sold"
        yield at.problem(path, reason, "choose another instance_type or purchase.kind")
    elif (sold.kind == "ultraserver") != ultra:
        right = "ultraserver-block" if sold.kind == "ultraserver" else "capacity-block"
        reason = f"{row.instance_type} is sold as {sold.kind}, not as {source.purchase.kind}"
        yield at.problem(path, reason, f"write {right}")
    # where no list was found, the reservation itself is the proof that it is sold there
    elif sold.regions is not None and (where := place(source.zone, location.region)) not in sold.regions:
        reason = f"Capacity Blocks of {row.instance_type} are not sold in {where}"
        yield at.problem(("zone",), reason, f"there is: {', '.join(sold.regions)}")


def _times(purchase: CapacityBlock | UltraServerBlock, at: At) -> Iterator[Problem]:
    rules = block_rules()
    path = ("purchase", "ends")
    if purchase.ends <= purchase.starts:
        yield at.problem(path, "the block ends before it starts", "swap starts and ends")
        return
    days, legal = whole_days(purchase.ends - purchase.starts), rules.duration.days
    if days > rules.duration.max_days:
        yield at.problem(path, f"a block lasts at most {legal[-1]} days, not {days}", "write one source per block")
    elif purchase.extended:
        return
    elif days not in legal:
        near = f"{max(d for d in legal if d < days)} or {min(d for d in legal if d > days)}"
        reason = f"blocks last 1 to 14 days, or 21, 28 and so on, not {days}"
        yield at.problem(
            path, reason, f"check the dates ({near} days), or write `extended: true` if it was made longer"
        )
    if (ends := f"{purchase.ends.astimezone(UTC):%H:%M}") != rules.end_time_utc:
        reason = f"blocks end at {rules.end_time_utc} UTC, not at {ends}"
        yield at.problem(path, reason, "copy the end that EC2 shows, or write `extended: true` if it was made longer")
