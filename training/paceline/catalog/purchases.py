"""The ways to buy capacity: what each asks of a launch (purchases.yaml), and for how long (instance_types.yaml)."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Literal

from paceline.catalog.tables import read_table
from paceline.spec.base import Record

PurchaseKind = Literal[
    "on-demand",
    "spot",
    "odcr",
    "odcr-attached",
    "odcr-interruptible",
    "capacity-block",
    "ultraserver-block",
    "training-plan",
]

_DAY = timedelta(days=1)


class Purchase(Record):
    """What one way of buying asks of a launch. The fields are explained in purchases.yaml."""

    market: Literal["capacity-block", "interruptible-capacity-reservation"] | None
    eks: Literal["ON_DEMAND", "SPOT", "CAPACITY_BLOCK"] | None
    pcs: Literal["ONDEMAND", "SPOT", "CAPACITY_BLOCK", "INTERRUPTIBLE_CAPACITY_RESERVATION"] | None
    hyperpod: bool
    placement: Literal["own", "inherited", "none"]
    reserved: bool


class Durations(Record):
    """How long a block can be, in days: every step up to 14, then larger ones."""

    min_days: int
    step_days_until_14: int
    step_days_after_14: int
    max_days: int

    @property
    def days(self) -> tuple[int, ...]:
        """All legal lengths."""
        short = range(self.min_days, 15, self.step_days_until_14)
        return (*short, *range(14 + self.step_days_after_14, self.max_days + 1, self.step_days_after_14))


class Notice(Record):
    """Minutes before the end of a block at which its instances begin to be taken."""

    instance: int
    ultraserver: int


class Extension(Record):
    """How a running block can be made longer."""

    min_hours: int
    request_within_days_before_expiry: int
    max_total_days: int


class BlockRules(Record):
    """EC2 Capacity Blocks for ML."""

    duration: Durations
    max_lead_time_weeks: int
    earliest_start_minutes: int
    max_instances_per_block: int
    max_instances_per_account_and_org_per_date: int
    end_time_utc: str
    termination_starts_before_end_min: Notice
    eventbridge_before_termination_min: int
    extension: Extension
    cancel: bool
    move_or_split: bool
    counts_against_on_demand_quota: bool
    cloudformation_purchase_resource: str | None
    sources: tuple[str, ...]


class PlanDurations(Record):
    min: int
    max: int
    step: int


class PlanRules(Record):
    """SageMaker training plans, as HyperPod uses them."""

    instance_counts: tuple[int, ...]
    duration_days: PlanDurations
    max_lead_time_weeks: int
    earliest_start_minutes: int
    end_time_utc: str
    nodes_terminated_before_end_min: int
    max_segments: int
    max_offerings_returned: int
    single_az: bool
    cancel: bool
    sources: tuple[str, ...]


def whole_days(duration: timedelta) -> int:
    """`duration` in days as it is sold: a block that starts at once is shorter than its days, since ends are fixed."""
    return -(-duration // _DAY)


@cache
def purchases() -> dict[PurchaseKind, Purchase]:
    """All ways to buy."""
    table: dict[PurchaseKind, object] = read_table("purchases")["purchases"]
    return {kind: Purchase.model_validate(row) for kind, row in table.items()}


@cache
def block_rules() -> BlockRules:
    """The rules of Capacity Blocks."""
    return BlockRules.model_validate(read_table("instance_types")["capacity_block_rules"])


@cache
def plan_rules() -> PlanRules:
    """The rules of training plans."""
    return PlanRules.model_validate(read_table("instance_types")["hyperpod_training_plan_rules"])


def notice(kind: PurchaseKind) -> timedelta:
    """How long before the end of what was bought its nodes begin to be taken."""
    before_end = block_rules().termination_starts_before_end_min
    minutes = {
        "capacity-block": before_end.instance,
        "ultraserver-block": before_end.ultraserver,
        "training-plan": plan_rules().nodes_terminated_before_end_min,
    }
    return timedelta(minutes=minutes.get(kind, 0))
