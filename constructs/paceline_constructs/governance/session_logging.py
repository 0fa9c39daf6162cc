"""Shells on nodes, and a record of what was typed there."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from paceline_constructs.guardrails.compliance import acknowledge_wildcard


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionLoggingProps:
    """`encryption_key` must let CloudWatch Logs use it. An idle session ends after `idle_minutes`."""

    team: str
    encryption_key: kms.IKey
    retention: logs.RetentionDays
    idle_minutes: int
    removal_policy: RemovalPolicy


class SessionLogging(Construct):
    """A Session Manager document that logs all sessions to an encrypted group.

    The account-wide preferences (SSM-SessionManagerRunShell) belong to whoever owns the account. A team has its own
    document instead, and its roles may start sessions with no other one (`paceline_constructs.governance.team_role`).
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: SessionLoggingProps) -> None:
        super().__init__(scope, construct_id)
        self._key = props.encryption_key
        self.log_group = logs.LogGroup(
            self,
            "LogGroup",
            log_group_name=f"/paceline/{props.team}/sessions",
            encryption_key=props.encryption_key,
            retention=props.retention,
            removal_policy=props.removal_policy,
        )
        self.document_name = f"paceline-{props.team}-session"
        ssm.CfnDocument(
            self,
            "Document",
            name=self.document_name,
            document_type="Session",
            document_format="JSON",
            update_method="NewVersion",
            content={
                "schemaVersion": "1.0",
                "description": "A logged, encrypted shell on a node of the team",
                "sessionType": "Standard_Stream",
                "inputs": {
                    "cloudWatchLogGroupName": self.log_group.log_group_name,
                    "cloudWatchEncryptionEnabled": True,
                    "cloudWatchStreamingEnabled": True,
                    "kmsKeyId": props.encryption_key.key_arn,
                    "idleSessionTimeout": str(props.idle_minutes),
                    "runAsEnabled": False,
                },
            },
        )

    def grant_logging(self, node: iam.IRole) -> None:
        """Let a node's role hold sessions: open the encrypted channel, check the log's encryption, write the log."""
        self.log_group.grant(node, "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams")
        iam.Grant.add_to_principal(grantee=node, actions=["logs:DescribeLogGroups"], resource_arns=["*"])
        acknowledge_wildcard(node, "*", "DescribeLogGroups knows no resources, and changes nothing")
        self._key.grant_decrypt(node)
