"""Placement for nodes that train together."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from constructs import Construct


class ClusterPlacementGroup(ec2.PlacementGroup):
    """Keeps instances of one zone on one network spine.

    For on-demand and spot instances, and for a capacity reservation that was *created inside* this group. Never for
    Capacity Blocks, UltraServers, training plans or a reservation made elsewhere: those are already placed, and a
    launch into the group fails with InsufficientInstanceCapacity.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id, strategy=ec2.PlacementGroupStrategy.CLUSTER)
