"""Which task of a HyperPod cluster runs first."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

_Cfn = sagemaker.CfnClusterSchedulerConfig


class SchedulerConfig(sagemaker.CfnClusterSchedulerConfig):
    """Priority classes by weight (0 to 100). With `fair_share` idle nodes go to quotas by the quotas' weight."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        cluster_arn: str,
        priorities: Mapping[str, int],
        fair_share: bool,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            name=name,
            cluster_arn=cluster_arn,
            scheduler_config=_Cfn.SchedulerConfigProperty(
                fair_share="Enabled" if fair_share else "Disabled",
                idle_resource_sharing="Enabled",  # the quotas say which of them lend
                priority_classes=[
                    _Cfn.PriorityClassProperty(name=name, weight=weight) for name, weight in sorted(priorities.items())
                ],
            ),
        )
