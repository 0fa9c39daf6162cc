"""What everything of a team stands on: its key, its network, its alarms."""

from __future__ import annotations

from constructs import Construct

from paceline.spec.names import (
    PARAMETER_CRITICAL_TOPIC,
    PARAMETER_EFA_SECURITY_GROUP_ID,
    PARAMETER_PLACEMENT_GROUP,
    PARAMETER_SESSION_DOCUMENT,
    PARAMETER_VPC_ID,
    PARAMETER_WARNING_TOPIC,
)
from paceline_constructs.capacity.cluster_placement_group import ClusterPlacementGroup
from paceline_constructs.governance.session_logging import SessionLogging, SessionLoggingProps
from paceline_constructs.guardrails.team_key import TeamKey
from paceline_constructs.network.efa_security_group import EfaSecurityGroup
from paceline_constructs.network.training_vpc import TrainingVpc, TrainingVpcProps
from paceline_constructs.observability.alerts import AlertTopic
from stacks.settings import Team
from stacks.team_stack import TeamStack, log_retention


class FoundationStack(TeamStack):
    """Changes rarely; every other stack of the team refers to `key`, `network`, `efa`, `alerts` (a topic per
    severity) or `sessions`."""

    def __init__(self, scope: Construct, construct_id: str, *, team: Team) -> None:
        super().__init__(scope, construct_id, team=team, description="key, network and alarms")
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
                flow_log_retention=log_retention(settings.flow_log_days),
                removal_policy=self.removal_policy,
            ),
        )
        self.efa = EfaSecurityGroup(self, "Efa", vpc=self.network.vpc)
        # for instances that are launched by hand, to measure or to try; every capacity source has its own
        placement = ClusterPlacementGroup(self, "Placement")
        alerts = team.parameters.alerts
        self.alerts = {
            severity: AlertTopic(self, f"Alerts-{severity}", encryption_key=self.key, endpoints=endpoints)
            for severity, endpoints in (("critical", alerts.critical), ("warning", alerts.warning))
        }
        self.sessions = SessionLogging(
            self,
            "Sessions",
            props=SessionLoggingProps(
                team=team.name,
                encryption_key=self.key,
                retention=log_retention(team.parameters.access.session_log_days),
                idle_minutes=team.parameters.access.idle_minutes,
                removal_policy=self.removal_policy,
            ),
        )

        self.publish(PARAMETER_VPC_ID, self.network.vpc.vpc_id)
        self.publish(PARAMETER_EFA_SECURITY_GROUP_ID, self.efa.security_group_id)
        self.publish(PARAMETER_PLACEMENT_GROUP, placement.placement_group_name)
        self.publish(PARAMETER_CRITICAL_TOPIC, self.alerts["critical"].topic_arn)
        self.publish(PARAMETER_WARNING_TOPIC, self.alerts["warning"].topic_arn)
        self.publish(PARAMETER_SESSION_DOCUMENT, self.sessions.document_name)
