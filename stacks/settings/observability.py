"""Metrics, rules over them, and dashboards."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from paceline.spec.base import Record
from stacks.settings.lists import Distinct
from stacks.settings.retention import LogDays
from stacks.settings.update import GROW, LIVE, REPLACE

_HTTPS = r"^https://[A-Za-z0-9.-]+(:\d+)?(/\S*)?$"
_KIND = "who runs Grafana"


class IdentityCenter(Record):
    """People come from IAM Identity Center."""

    kind: Literal["identity-center"] = Field(description="where people come from", json_schema_extra=REPLACE)
    enabled: bool = Field(
        description="write true once IAM Identity Center is switched on for the account's organization: AWS cannot"
        " make the workspace before that",
        json_schema_extra=LIVE,
    )


class SamlProvider(Record):
    """People come from a SAML identity provider, which sends the attribute `role`."""

    kind: Literal["saml"] = Field(description="where people come from", json_schema_extra=REPLACE)
    metadata_url: str = Field(
        pattern=_HTTPS, description="https:// URL of the identity provider's metadata", json_schema_extra=LIVE
    )
    admin_roles: Distinct[str] = Field(
        min_length=1,
        description="values of the attribute `role` that make a person an administrator",
        json_schema_extra=LIVE,
    )


class Managed(Record):
    """Amazon Managed Grafana."""

    kind: Literal["managed"] = Field(description=_KIND, json_schema_extra=REPLACE)
    version: Literal["9.4", "10.4"] = Field(
        default="10.4", description="version of Grafana; it can only rise", json_schema_extra=GROW
    )
    people: Annotated[IdentityCenter | SamlProvider, Field(discriminator="kind")] = Field(
        description="where people come from", json_schema_extra=LIVE
    )


class SelfHosted(Record):
    """A Grafana in the team's EKS cluster, for accounts without Identity Center and SAML."""

    kind: Literal["self-hosted"] = Field(description=_KIND, json_schema_extra=REPLACE)


class Observability(Record):
    """Prometheus with paceline's alert rules, and Grafana."""

    metric_days: int = Field(
        default=150, ge=1, le=1095, description="days that metrics are kept", json_schema_extra=LIVE
    )
    log_days: LogDays = Field(
        default=365, description="days that the logs of the Prometheus workspace are kept", json_schema_extra=LIVE
    )
    collector: Literal["agent", "scraper"] = Field(
        default="agent",
        description="who collects the metrics of an EKS cluster. agent: a Prometheus in the cluster, installed by"
        " eks.software. scraper: AWS, from outside, at a price per hour",
        json_schema_extra=LIVE,
    )
    grafana: Annotated[Managed | SelfHosted, Field(discriminator="kind")] | None = Field(
        default=None, description="where dashboards are; without it there are none", json_schema_extra=REPLACE
    )
