"""What a team may spend a month, and who hears of it before it is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_sns as sns
from constructs import Construct

from paceline.spec.names import TAG_TEAM


@dataclass(frozen=True, kw_only=True, slots=True)
class MonthlyBudgetProps:
    """`actual_percent` of `usd` spent, and `forecast_percent` of it to be expected, raise an alarm at `topic`."""

    team: str
    usd: int
    actual_percent: Sequence[int]
    forecast_percent: Sequence[int]
    topic: sns.ITopic


class MonthlyBudget(Construct):
    """A cost budget over everything that carries the team's tag.

    The tag must be switched on as a cost-allocation tag in the account that pays, by hand and once; AWS needs a day to
    follow. Name and alarms are create-only: CloudFormation makes the name, so a change of an alarm replaces the budget.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: MonthlyBudgetProps) -> None:
        super().__init__(scope, construct_id)
        levels = [("ACTUAL", level) for level in props.actual_percent]
        levels += [("FORECASTED", level) for level in props.forecast_percent]
        budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=props.usd, unit="USD"),
                cost_filters={"TagKeyValue": [f"user:{TAG_TEAM}${props.team}"]},
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=level,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[
                        budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=props.topic.topic_arn)
                    ],
                )
                for kind, level in levels
            ],
        )
