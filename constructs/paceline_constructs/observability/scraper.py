"""Metrics out of an EKS cluster without an agent of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from aws_cdk import Fn
from aws_cdk import aws_aps as aps
from aws_cdk import aws_ec2 as ec2
from constructs import Construct


@dataclass(frozen=True, kw_only=True, slots=True)
class EksScraperProps:
    """`subnets` lie in two zones at least. The collector joins the cluster's own security group."""

    alias: str
    workspace_arn: str
    cluster_arn: str
    subnets: Sequence[ec2.ISubnet]


class EksScraper(Construct):
    """AMP's managed collector: scrapes the pods that ask for it by annotation, with paceline's exporters first.

    The cluster's authentication mode must be API or API_AND_CONFIG_MAP: AWS then makes the access entry by itself.
    A change of cluster or network replaces it.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: EksScraperProps) -> None:
        super().__init__(scope, construct_id)
        configuration = files(__package__).joinpath("scrape.yaml").read_text(encoding="utf-8")
        aps.CfnScraper(
            self,
            "Scraper",
            alias=props.alias,
            destination=aps.CfnScraper.DestinationProperty(
                amp_configuration=aps.CfnScraper.AmpConfigurationProperty(workspace_arn=props.workspace_arn)
            ),
            source=aps.CfnScraper.SourceProperty(
                eks_configuration=aps.CfnScraper.EksConfigurationProperty(
                    cluster_arn=props.cluster_arn,
                    subnet_ids=[subnet.subnet_id for subnet in props.subnets],
                )
            ),
            scrape_configuration=aps.CfnScraper.ScrapeConfigurationProperty(
                configuration_blob=Fn.base64(configuration)
            ),
        )
