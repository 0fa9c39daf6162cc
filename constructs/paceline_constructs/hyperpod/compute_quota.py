"""Who may use how much of a HyperPod cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from aws_cdk import CfnResource
from constructs import Construct

from paceline.catalog.hyperpod import PREFIX
from paceline_constructs.guardrails.compliance import acknowledge

Sharing = Literal["Lend", "DontLend", "LendAndBorrow"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ComputeQuotaProps:
    """`instances` maps EC2's name of an instance type to a number of nodes. `borrow_percent` goes with LendAndBorrow
    only; without it HyperPod takes 50. `weight` is the share of idle nodes.
    """

    name: str
    cluster_arn: str
    group: str
    instances: Mapping[str, int]
    sharing: Sharing
    borrow_percent: int | None
    weight: int
    preempt: bool


class ComputeQuota(CfnResource):
    """AWS::SageMaker::ComputeQuota, for which CDK has no type. Its namespace is `hyperpod-ns-<group>`."""

    def __init__(self, scope: Construct, construct_id: str, *, props: ComputeQuotaProps) -> None:
        borrow = {} if props.borrow_percent is None else {"BorrowLimit": props.borrow_percent}
        super().__init__(
            scope,
            construct_id,
            type="AWS::SageMaker::ComputeQuota",
            properties={
                "Name": props.name,
                "ClusterArn": props.cluster_arn,
                "ActivationState": "Enabled",
                "ComputeQuotaTarget": {"TeamName": props.group, "FairShareWeight": props.weight},
                "ComputeQuotaConfig": {
                    "ComputeQuotaResources": [
                        {"InstanceType": f"{PREFIX}{instance_type}", "Count": count}
                        for instance_type, count in sorted(props.instances.items())
                    ],
                    "ResourceSharingConfig": {"Strategy": props.sharing, **borrow},
                    "PreemptTeamTasks": "LowerPriority" if props.preempt else "Never",
                },
            },
        )
        acknowledge(self, "CloudFormation-Validate::F3006", "a type younger than CDK's table; cfn-lint 1.58.0 has it")
