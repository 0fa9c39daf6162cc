"""Who may look: Amazon Managed Grafana, or the role of a Grafana that the team runs itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import Stack
from aws_cdk import aws_grafana as grafana
from aws_cdk import aws_iam as iam
from constructs import Construct

from paceline_constructs.eks.pod_identity import pods


@dataclass(frozen=True, kw_only=True, slots=True)
class Saml:
    """An identity provider: where its metadata is, and which values of the attribute `role` mean an administrator."""

    metadata_url: str
    admin_roles: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class ManagedGrafanaProps:
    """Without `saml`, people come from IAM Identity Center, which the account's organization must have switched on."""

    name: str
    version: str
    saml: Saml | None = None


class ManagedGrafana(Construct):
    """An Amazon Managed Grafana workspace. `role` is what it queries data sources with: grant it what it may see."""

    def __init__(self, scope: Construct, construct_id: str, *, props: ManagedGrafanaProps) -> None:
        super().__init__(scope, construct_id)
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "grafana.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            ),
            description="What Grafana may query",
        )
        workspace = grafana.CfnWorkspace(
            self,
            "Workspace",
            name=props.name,
            grafana_version=props.version,
            account_access_type="CURRENT_ACCOUNT",
            permission_type="CUSTOMER_MANAGED",
            role_arn=self.role.role_arn,
            data_sources=["PROMETHEUS"],
            authentication_providers=["SAML" if props.saml else "AWS_SSO"],
            saml_configuration=_saml(props.saml) if props.saml else None,
        )
        self.workspace_id = workspace.attr_id
        self.endpoint = workspace.attr_endpoint


class SelfHostedGrafana(Construct):
    """The role of a Grafana that runs as a pod of the team's cluster (Pod Identity)."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=pods(),
            description="What Grafana may query",
        )


def _saml(saml: Saml) -> grafana.CfnWorkspace.SamlConfigurationProperty:
    return grafana.CfnWorkspace.SamlConfigurationProperty(
        idp_metadata=grafana.CfnWorkspace.IdpMetadataProperty(url=saml.metadata_url),
        assertion_attributes=grafana.CfnWorkspace.AssertionAttributesProperty(role="role"),
        role_values=grafana.CfnWorkspace.RoleValuesProperty(admin=list(saml.admin_roles)),
    )
