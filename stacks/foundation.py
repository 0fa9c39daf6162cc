"""What everything of a team stands on: its key and its network."""

from __future__ import annotations

from aws_cdk import aws_logs as logs
from constructs import Construct

from paceline.spec.names import PARAMETER_EFA_SECURITY_GROUP_ID, PARAMETER_VPC_ID
from paceline_constructs.guardrails.team_key import TeamKey
from paceline_constructs.network.efa_security_group import EfaSecurityGroup
from paceline_constructs.network.training_vpc import TrainingVpc, TrainingVpcProps
from stacks.settings import Team
from stacks.team_stack import TeamStack

_RETENTION = {
    30: logs.RetentionDays.ONE_MONTH,
    90: logs.RetentionDays.THREE_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
    3653: logs.RetentionDays.TEN_YEARS,
}


class FoundationStack(TeamStack):
    """Changes rarely; every other stack of the team refers to `key`, `network` or `efa`."""

    def __init__(self, scope: Construct, construct_id: str, *, team: Team) -> None:
        super().__init__(scope, construct_id, team=team, description="key and network")
        settings = team.parameters.network
        self.key = TeamKey(self, "Key", alias=f"paceline/{team.name}", removal_policy=self.removal_policy)
        self.network = TrainingVpc(
            self,
            "Network",
            props=TrainingVpcProps(
                cidr=settings.cidr,
                subnets=settings.subnets,
                interface_endpoints=settings.interface_endpoints,
                encryption_key=self.key,
                flow_log_retention=_RETENTION[settings.flow_log_days],
                removal_policy=self.removal_policy,
            ),
        )
        self.efa = EfaSecurityGroup(self, "Efa", vpc=self.network.vpc)

        self.publish(PARAMETER_VPC_ID, self.network.vpc.vpc_id)
        self.publish(PARAMETER_EFA_SECURITY_GROUP_ID, self.efa.security_group_id)
