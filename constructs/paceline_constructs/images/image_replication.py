"""Copies of a team's images in other regions."""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk import aws_ecr as ecr
from constructs import Construct


class ImageReplication(ecr.CfnReplicationConfiguration):
    """Copies of what is pushed to the repositories under `prefix`, in other regions of the same account.

    A registry has one such configuration, as it has one for signing.
    """

    def __init__(self, scope: Construct, construct_id: str, *, prefix: str, regions: tuple[str, ...]) -> None:
        account = Stack.of(scope).account
        destinations = [
            ecr.CfnReplicationConfiguration.ReplicationDestinationProperty(region=region, registry_id=account)
            for region in regions
        ]
        rule = ecr.CfnReplicationConfiguration.ReplicationRuleProperty(
            destinations=destinations,
            repository_filters=[
                ecr.CfnReplicationConfiguration.RepositoryFilterProperty(
                    filter=f"{prefix}/", filter_type="PREFIX_MATCH"
                )
            ],
        )
        super().__init__(
            scope,
            construct_id,
            replication_configuration=ecr.CfnReplicationConfiguration.ReplicationConfigurationProperty(rules=[rule]),
        )
