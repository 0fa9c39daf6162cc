"""What the team sees of its platform, and who is told."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_iam as iam
from constructs import Construct

from paceline.spec.names import (
    GRAFANA_POD,
    PARAMETER_GRAFANA_ENDPOINT,
    PARAMETER_METRICS_ENDPOINT,
    PARAMETER_METRICS_WRITER,
    PROMETHEUS_POD,
)
from paceline_constructs.eks.pod_identity import PodIdentity, pods
from paceline_constructs.observability.grafana import ManagedGrafana, ManagedGrafanaProps, Saml, SelfHostedGrafana
from paceline_constructs.observability.prometheus import Prometheus, PrometheusProps
from paceline_constructs.observability.scraper import EksScraper, EksScraperProps
from stacks.foundation import FoundationStack
from stacks.settings import Team
from stacks.settings.observability import Managed, SamlProvider
from stacks.team_stack import TeamStack, log_retention


class ObservabilityStack(TeamStack):
    """Metrics, alert rules and dashboards. `cluster_name` is the EKS cluster's, if the team has one; `nodes` are the
    roles of nodes that no Kubernetes runs: those send metrics by themselves."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        team: Team,
        foundation: FoundationStack,
        cluster_name: str | None,
        nodes: Sequence[iam.IRole] = (),
    ) -> None:
        super().__init__(scope, construct_id, team=team, description="metrics, alert rules and dashboards")
        settings = team.parameters.observability
        assert settings is not None
        self.foundation = foundation
        self.prometheus = Prometheus(
            self,
            "Prometheus",
            props=PrometheusProps(
                alias=f"paceline-{team.name}",
                encryption_key=foundation.key,
                topics=foundation.alerts,
                fallback="critical",
                retention_days=settings.metric_days,
                log_retention=log_retention(settings.log_days),
                removal_policy=self.removal_policy,
                repository=team.parameters.delivery.repository if team.parameters.delivery else None,
            ),
        )
        self.publish(PARAMETER_METRICS_ENDPOINT, self.prometheus.endpoint)
        for role in nodes:
            self.prometheus.grant_write(role)
        if cluster_name is not None and settings.collector == "scraper":
            self._add_scraper(cluster_name)
        elif cluster_name is not None:
            self._add_agent(cluster_name)
        if isinstance(settings.grafana, Managed):
            self._add_managed_grafana(settings.grafana)
        elif settings.grafana is not None and cluster_name is not None:
            role = SelfHostedGrafana(self, "Grafana").role
            self.prometheus.grant_query(role)
            PodIdentity(self, "GrafanaPod", cluster_name=cluster_name, pod=GRAFANA_POD, role=role)

    def _add_scraper(self, cluster_name: str) -> None:
        EksScraper(
            self,
            "Scraper",
            props=EksScraperProps(
                alias=f"paceline-{self.team.name}",
                workspace_arn=self.prometheus.workspace_arn,
                cluster_arn=self.format_arn(service="eks", resource="cluster", resource_name=cluster_name),
                subnets=list(self.foundation.network.subnets.values()),
            ),
        )

    def _add_agent(self, cluster_name: str) -> None:
        """The role of the Prometheus in the cluster."""
        writer = iam.Role(
            self,
            "MetricsWriter",
            assumed_by=pods(),
            description="Sends metrics of the cluster",
        )
        self.prometheus.grant_write(writer)
        PodIdentity(self, "MetricsPod", cluster_name=cluster_name, pod=PROMETHEUS_POD, role=writer)
        self.publish(PARAMETER_METRICS_WRITER, writer.role_arn)

    def _add_managed_grafana(self, settings: Managed) -> None:
        people = settings.people
        saml = (
            Saml(metadata_url=people.metadata_url, admin_roles=people.admin_roles)
            if isinstance(people, SamlProvider)
            else None
        )
        grafana = ManagedGrafana(
            self,
            "Grafana",
            props=ManagedGrafanaProps(name=f"paceline-{self.team.name}", version=settings.version, saml=saml),
        )
        self.prometheus.grant_query(grafana.role)
        self.publish(PARAMETER_GRAFANA_ENDPOINT, grafana.endpoint)
