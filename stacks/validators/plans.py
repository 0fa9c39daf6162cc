"""What is wrong with a SageMaker training plan."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC

from paceline.catalog.instance_types import InstanceType
from paceline.catalog.purchases import plan_rules
from paceline.spec.errors import Problem
from stacks.settings.capacity import CapacitySource, TrainingPlan
from stacks.settings.location import Location
from stacks.validators.problems import At


def problems(source: CapacitySource, row: InstanceType, location: Location, at: At) -> Iterator[Problem]:
    """Problems of `source`, if it is bought as a plan."""
    purchase, rules = source.purchase, plan_rules()
    if not isinstance(purchase, TrainingPlan):
        return
    if row.training_plan is not True:
        known = "there are no" if row.training_plan is False else "no source says whether there are"
        yield at.problem(("purchase", "kind"), f"{known} training plans of {row.instance_type}", "choose another type")
    if purchase.instances not in rules.instance_counts:
        counts = ", ".join(map(str, rules.instance_counts))
        reason = f"training plans hold {counts} instances, not {purchase.instances}"
        yield at.problem(("purchase", "instances"), reason, "copy the count that SageMaker shows")
    if (ends := f"{purchase.ends.astimezone(UTC):%H:%M}") != rules.end_time_utc:
        reason = f"training plans end at {rules.end_time_utc} UTC, not at {ends}"
        yield at.problem(("purchase", "ends"), reason, "copy the end that SageMaker shows")
    _, _, _, region, account, _ = purchase.arn.split(":", 5)
    if (account, region) != (location.account, location.region):
        reason = f"the plan belongs to account {account} in {region}"
        yield at.problem(("purchase", "arn"), reason, f"name a plan of {location.account} in {location.region}")
