"""Metrics, rules over them, and dashboards."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from paceline.spec.base import Record
from stacks.settings.lists import Distinct
from stacks.settings.retention import LogDays
from stacks.settings.update import LIVE, REPLACE

_HTTPS = r"^https://[A-Za-z0-9.-]+(:\d+)?(/\S*)?$"
_KIND = "who runs it"


class IdentityCenter(Record):
    """People come from IAM Identity Center."""

    kind: Literal["identity-center"] = Field(description="where people come from", json_schema_extra=REPLACE)
    enabled: bool = Field(
        description="say true once IAM Identity Center is switched on for the account's organization: the workspace"
        " cannot be made without it",
        json_schema_extra=LIVE,
    )


class SamlProvider(Record):
    """People come from a SAML identity provider, which sends the attribute `role`."""

    kind: Literal["saml"] = Field(description="where people come from", json_schema_extra=REPLACE)
    metadata_url: str = Field(
        pattern=_HTTPS, description="https:// URL of the identity provider's metadata", json_schema_extra=LIVE
    )
    admin_roles: Distinct[str] = Field(
        min_length=1, description="values of `role` that make an administrator", json_schema_extra=LIVE
    )


class Managed(Record):
    """Amazon Managed Grafana."""

    kind: Literal["managed"] = Field(description=_KIND, json_schema_extra=REPLACE)
    version: Literal["9.4", "10.4"] = Field(
        default="10.4", description="of Grafana; can only grow", json_schema_extra=LIVE
    )
    people: Annotated[IdentityCenter | SamlProvider, Field(discriminator="kind")] = Field(
        description="where people come from", json_schema_extra=REPLACE
    )


class SelfHosted(Record):
    """A Grafana in the team's EKS cluster, for accounts without Identity Center and SAML."""

    kind: Literal["self-hosted"] = Field(description=_KIND, json_schema_extra=REPLACE)


class Observability(Record):
    """Prometheus with paceline's alert rules, and Grafana."""

    metric_days: int = Field(
        default=150, ge=1, le=1095, description="how long metrics are kept", json_schema_extra=LIVE
    )
    log_days: LogDays = Field(default=365, description="how long the services' logs are kept", json_schema_extra=LIVE)
    collector: Literal["agent", "scraper"] = Field(
        default="agent",
        description="who collects metrics. agent: Prometheus in the cluster. scraper: AWS, from an EKS cluster",
        json_schema_extra=LIVE,
    )
    grafana: Annotated[Managed | SelfHosted, Field(discriminator="kind")] | None = Field(
        default=None, description="dashboards; none without it", json_schema_extra=REPLACE
    )
