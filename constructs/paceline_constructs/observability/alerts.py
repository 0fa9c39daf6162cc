"""Where alarms go."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

# who raises alarms: the alert manager, budgets, alarms on metrics
PUBLISHERS = ("aps.amazonaws.com", "budgets.amazonaws.com", "cloudwatch.amazonaws.com")
# EventBridge is let in without a condition: it brings neither aws:SourceArn nor aws:SourceAccount to a topic or to the
# key of one, and a statement that asks for them drops every event in silence. Sources: EventBridge User Guide,
# eb-use-resource-based.html, Amazon SNS permissions; SNS Developer Guide, sns-key-management.html.
EVENTS = "events.amazonaws.com"


class AlertTopic(sns.Topic):
    """Alarms of one severity, encrypted, over TLS only, to e-mail addresses and https:// endpoints.

    AWS asks every endpoint for a confirmation; until then it gets nothing. `encryption_key` must let PUBLISHERS and
    EVENTS use it, as TeamKey does: the policy of a caller cannot.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, encryption_key: kms.IKey, endpoints: Sequence[str]
    ) -> None:
        super().__init__(scope, construct_id, master_key=encryption_key, enforce_ssl=True)
        for endpoint in endpoints:
            web = endpoint.startswith("https://")
            self.add_subscription(
                subscriptions.UrlSubscription(endpoint) if web else subscriptions.EmailSubscription(endpoint)
            )
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Alarms",
                principals=[iam.ServicePrincipal(name) for name in PUBLISHERS],
                actions=["sns:Publish", "sns:GetTopicAttributes"],
                resources=[self.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Events",
                principals=[iam.ServicePrincipal(EVENTS)],
                actions=["sns:Publish"],
                resources=[self.topic_arn],
            )
        )
