"""What the stacks of a team have in common."""

from __future__ import annotations

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_logs as logs
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from paceline.spec.names import TAG_STACK, parameter_path
from paceline_constructs.guardrails.tags import tag
from stacks.settings import Team
from stacks.settings.retention import LogDays

_RETENTION: dict[LogDays, logs.RetentionDays] = {
    30: logs.RetentionDays.ONE_MONTH,
    90: logs.RetentionDays.THREE_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
    3653: logs.RetentionDays.TEN_YEARS,
}


def log_retention(days: LogDays) -> logs.RetentionDays:
    """What CDK calls `days`."""
    return _RETENTION[days]


class TeamStack(Stack):
    """A stack named `<team>-<id>`, tagged, and protected as the team's `lifecycle` asks."""

    def __init__(self, scope: Construct, construct_id: str, *, team: Team, description: str) -> None:
        retained = team.parameters.lifecycle == "retained"
        super().__init__(
            scope,
            construct_id,
            description=f"paceline: {description} of team {team.name}",
            termination_protection=retained,
        )
        self.team = team
        self.removal_policy = RemovalPolicy.RETAIN if retained else RemovalPolicy.DESTROY
        tag(self, TAG_STACK, construct_id)

    def publish(self, name: str, value: str) -> None:
        """Put `value` where readers outside CloudFormation find it; `name` is one of paceline.spec.names."""
        ssm.StringParameter(
            self,
            f"Parameter-{name}",
            parameter_name=parameter_path(self.team.name, name),
            string_value=value,
        )
