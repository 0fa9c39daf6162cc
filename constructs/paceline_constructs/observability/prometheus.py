"""Metrics, the rules over them, and who hears of what they find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import yaml
from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_aps as aps
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from constructs import Construct

# files of observability/rules, each a rule-groups namespace
RULES = ("collection", "efa", "healing", "neuron", "nvidia", "training")

_WRITE = ["aps:RemoteWrite"]
_QUERY = ["aps:QueryMetrics", "aps:GetSeries", "aps:GetLabels", "aps:GetMetricMetadata"]
_SILENCE = [
    "aps:ListAlerts",
    "aps:ListAlertManagerAlerts",
    "aps:ListAlertManagerSilences",
    "aps:GetAlertManagerSilence",
    "aps:CreateAlertManagerAlerts",
    "aps:PutAlertManagerSilences",
    "aps:DeleteAlertManagerSilence",
]


def read_rules(name: str, repository: str | None = None) -> str:
    """The rule groups of `name` as YAML text, in the form that Prometheus and AMP read.

    `runbook_url` is a path in the repository, or a link if `repository` says which on GitHub it is, as owner/name.
    """
    text = files(__package__).joinpath("rules", f"{name}.yaml").read_text(encoding="utf-8")
    # HEAD is the branch that GitHub shows first
    base = f"https://github.com/{repository}/blob/HEAD/" if repository else ""
    return text.replace("runbook_url: ", f"runbook_url: {base}")


@dataclass(frozen=True, kw_only=True, slots=True)
class PrometheusProps:
    """`topics` maps a severity (the label of every alert rule) to where such alerts go; what has another severity or
    none goes to `fallback`, one of them. `encryption_key` must let CloudWatch Logs use it. `repository` is where the
    runbooks are read, owner/name on GitHub; None where nobody said."""

    alias: str
    encryption_key: kms.IKey
    topics: Mapping[str, sns.ITopic]
    fallback: str
    retention_days: int
    log_retention: logs.RetentionDays
    removal_policy: RemovalPolicy
    repository: str | None


class Prometheus(Construct):
    """A workspace of Amazon Managed Service for Prometheus with paceline's rules and an alert manager.

    `workspace_arn`, `workspace_id` and `endpoint` are what writers and readers need, with `grant_write`, `grant_query`
    and `grant_silence`. What the alert manager and the rules do wrong is in `log_group`.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: PrometheusProps) -> None:
        super().__init__(scope, construct_id)
        # AMP delivers logs only to groups under /aws/vendedlogs
        self.log_group = logs.LogGroup(
            self,
            "LogGroup",
            log_group_name=f"/aws/vendedlogs/prometheus/{props.alias}",
            encryption_key=props.encryption_key,
            retention=props.log_retention,
            removal_policy=props.removal_policy,
        )
        workspace = aps.CfnWorkspace(
            self,
            "Workspace",
            alias=props.alias,
            kms_key_arn=props.encryption_key.key_arn,
            alert_manager_definition=self._alert_manager(props),
            logging_configuration=aps.CfnWorkspace.LoggingConfigurationProperty(
                log_group_arn=self.log_group.log_group_arn  # with the :* that AMP asks for
            ),
            workspace_configuration=aps.CfnWorkspace.WorkspaceConfigurationProperty(
                retention_period_in_days=props.retention_days
            ),
        )
        workspace.apply_removal_policy(props.removal_policy)
        self.workspace_arn = workspace.attr_arn
        self.workspace_id = workspace.attr_workspace_id
        self.endpoint = workspace.attr_prometheus_endpoint
        for name in RULES:
            aps.CfnRuleGroupsNamespace(
                self,
                f"Rules-{name}",
                name=f"paceline-{name}",
                workspace=workspace.attr_arn,
                data=read_rules(name, props.repository),
            )

    def grant_write(self, grantee: iam.IGrantable) -> iam.Grant:
        """Send metrics."""
        return self._grant(grantee, _WRITE)

    def grant_query(self, grantee: iam.IGrantable) -> iam.Grant:
        """Read metrics."""
        return self._grant(grantee, _QUERY)

    def grant_silence(self, grantee: iam.IGrantable) -> iam.Grant:
        """See alerts and silence them."""
        return self._grant(grantee, _SILENCE)

    def _grant(self, grantee: iam.IGrantable, actions: list[str]) -> iam.Grant:
        return iam.Grant.add_to_principal(grantee=grantee, actions=actions, resource_arns=[self.workspace_arn])

    def _alert_manager(self, props: PrometheusProps) -> str:
        """AMP's definition file: an Alertmanager configuration as text inside YAML. AMP sends to SNS only."""
        region = Stack.of(self).region
        receivers = [
            {
                "name": severity,
                "sns_configs": [
                    {
                        "topic_arn": topic.topic_arn,
                        "sigv4": {"region": region},
                        # the default subject lists every label, and SNS refuses more than 100 characters
                        "subject": "[{{ .Status }}] {{ .CommonLabels.alertname }}",
                    }
                ],
            }
            for severity, topic in sorted(props.topics.items())
        ]
        route = {
            "receiver": props.fallback,
            "group_by": ["alertname", "run"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "4h",
            "routes": [{"receiver": name, "matchers": [f'severity="{name}"']} for name in sorted(props.topics)],
        }
        # a run that hangs is slow too, and says so once
        inhibit = {"source_matchers": ['alertname="RunHangs"'], "target_matchers": ['alertname="StepSlow"']}
        configuration = {"route": route, "receivers": receivers, "inhibit_rules": [inhibit | {"equal": ["run"]}]}
        text = yaml.safe_dump(configuration, sort_keys=False, width=1000)
        return yaml.safe_dump({"alertmanager_config": text}, default_style="|", width=10000)
