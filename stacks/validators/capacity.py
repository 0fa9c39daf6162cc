"""What is wrong with where accelerators come from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from paceline.catalog.instance_types import InstanceType, instance_types
from paceline.catalog.purchases import purchases
from paceline.spec.documents import Document, nearest
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.settings.capacity import CapacitySource
from stacks.validators import addresses, blocks, plans
from stacks.validators.problems import At

# EC2 User Guide, capacity-reservations-limits: instances of one reservation
_LARGEST_RESERVATION = 1000


def problems(team: Team, document: Document) -> Iterator[Problem]:
    """Problems of one team's capacity."""
    for name, source in team.parameters.capacity.items():
        at = At(document, ("capacity", name))
        yield from _counts(source, at)
        row = instance_types().get(source.instance_type)
        if row is None:
            hint = nearest(source.instance_type, list(instance_types()))
            yield at.problem(("instance_type",), f"{source.instance_type} is not in the catalog", hint)
            continue
        yield from _hardware(source, row, at)
        yield from _sold(source, row, at)
        yield from blocks.problems(source, row, team.parameters.location, at)
        yield from plans.problems(source, row, team.parameters.location, at)
    yield from _shared(team, document)
    yield from addresses.problems(team, document)


def untimely(team: Team, document: Document, now: datetime) -> Iterator[Problem]:
    """Capacity that is over, and nodes that are wanted before there are any.

    Only for those who look today: a synthesis gives the same result on every day.
    """
    for name, source in team.parameters.capacity.items():
        at = At(document, ("capacity", name))
        starts, ends = (getattr(source.purchase, field, None) for field in ("starts", "ends"))
        if ends is not None and ends <= now:
            hint = "remove the source, or name what follows it"
            yield at.problem(("purchase", "ends"), f"ended at {ends:%Y-%m-%d %H:%M %Z}", hint)
        # EKS User Guide, capacity-blocks.html: no nodes may be wanted before the reservation is active
        if starts is not None and now < starts and source.serves == "eks" and source.min_nodes:
            reason = f"{source.min_nodes} nodes are wanted at once, and the block begins at {starts:%Y-%m-%d %H:%M %Z}"
            yield at.problem(("min_nodes",), reason, "leave it out until then: the node group could not be created")


def _counts(source: CapacitySource, at: At) -> Iterator[Problem]:
    if source.min_nodes > source.nodes:
        yield at.problem(
            ("min_nodes",), f"{source.min_nodes} is more than the {source.nodes} nodes", "lower it, or raise nodes"
        )
    if source.spares >= source.nodes:
        reason = f"{source.spares} of {source.nodes} nodes stand by; none is left to work"
        yield at.problem(("spares",), reason, "keep spares below nodes")
    held: int | None = getattr(source.purchase, "instances", None)
    if held is not None and source.nodes > held:
        yield at.problem(
            ("nodes",), f"{source.nodes} nodes, but the reservation holds {held}", "lower nodes, or buy more"
        )
    if source.purchase.kind == "odcr" and source.nodes > _LARGEST_RESERVATION:
        reason = f"a capacity reservation holds at most {_LARGEST_RESERVATION} instances, not {source.nodes}"
        yield at.problem(("nodes",), reason, "split the source in two")


def _hardware(source: CapacitySource, row: InstanceType, at: At) -> Iterator[Problem]:
    if row.layouts is None:
        reason = f"no source says how the network cards of {row.instance_type} are wired"
        yield at.problem(("instance_type",), reason, "choose a type with layouts in `paceline catalog ls`")
    elif row.layout(source.layout) is None:
        reason = f"{row.instance_type} has no layout {source.layout}"
        yield at.problem(("layout",), reason, nearest(source.layout or "", list(row.layouts)))


def _sold(source: CapacitySource, row: InstanceType, at: At) -> Iterator[Problem]:
    """Whether the type is sold so, and whether the orchestrator can take it."""
    kind, rules = source.purchase.kind, purchases()[source.purchase.kind]
    path = ("purchase", "kind")
    if row.on_demand is False and kind in ("on-demand", "odcr", "odcr-attached", "odcr-interruptible"):
        yield at.problem(path, f"{row.instance_type} is not sold on demand", "buy a block")
    if row.spot is False and kind == "spot":
        yield at.problem(path, f"{row.instance_type} is not sold as spot", "choose another purchase.kind")
    usable = {"eks": rules.eks is not None, "slurm": rules.pcs is not None, "hyperpod": rules.hyperpod}
    if not usable[source.serves]:
        takers = [name for name, can in usable.items() if can]
        yield at.problem(("serves",), f"{source.serves} cannot take {kind} capacity", f"there is: {', '.join(takers)}")
    if source.serves == "hyperpod" and row.hyperpod is not True:
        yield at.problem(("instance_type",), f"HyperPod does not offer {row.instance_type}", "let eks or slurm take it")


def _shared(team: Team, document: Document) -> Iterator[Problem]:
    """Sources may share a reservation as long as it is large enough for all."""
    takers: dict[str, list[str]] = defaultdict(list)
    capacity = team.parameters.capacity
    for name, source in capacity.items():
        if (bought := getattr(source.purchase, "reservation", getattr(source.purchase, "arn", None))) is not None:
            takers[bought].append(name)
    for bought, names in takers.items():
        *others, last = names
        total = sum(capacity[name].nodes for name in names)
        held: int = getattr(capacity[last].purchase, "instances", 0)
        if others and total > held:
            reason = f"with {', '.join(others)}, {total} nodes of {bought}, which holds {held}"
            yield At(document, ("capacity", last)).problem(("nodes",), reason, "lower nodes of one of them")
