"""Where jobs are submitted to."""

from __future__ import annotations

from aws_cdk import aws_pcs as pcs
from constructs import Construct


class Queue(Construct):
    """A partition of the cluster, on one group of nodes. `sbatch --partition a,b` offers a job to several."""

    def __init__(
        self, scope: Construct, construct_id: str, *, cluster_id: str, name: str, node_group: pcs.CfnComputeNodeGroup
    ) -> None:
        super().__init__(scope, construct_id)
        pcs.CfnQueue(
            self,
            "Queue",
            cluster_id=cluster_id,
            name=name,
            compute_node_group_configurations=[
                pcs.CfnQueue.ComputeNodeGroupConfigurationProperty(compute_node_group_id=node_group.attr_id)
            ],
        )
