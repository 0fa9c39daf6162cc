"""A SageMaker HyperPod cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from paceline.catalog.hyperpod import PREFIX
from paceline_constructs.hyperpod.lifecycle_scripts import ON_CREATE
from paceline_constructs.storage.lustre_file_system import LustreFileSystem

_Cfn = sagemaker.CfnCluster

LUSTRE_PATH = "/fsx"


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceGroup:
    """Nodes of one type. `instance_type` is EC2's name.

    `slurm_role` is for clusters with Slurm; compute groups are a partition called as the group. `efa` gives every
    network card an interface for EFA alone, without an address. `checks` are deep health checks at the start; without
    any, a node takes jobs at once. `threads_per_core` None leaves what the type has.
    """

    name: str
    instance_type: str
    nodes: int
    min_nodes: int
    volume_gib: int
    subnet: ec2.ISubnet
    slurm_role: Literal["Controller", "Login", "Compute"] | None = None
    efa: bool = False
    spot: bool = False
    threads_per_core: int | None = None
    checks: Sequence[str] = ()
    training_plan_arn: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HyperPodClusterProps:
    """With `eks_cluster_arn` Kubernetes schedules, without it Slurm does, set up by HyperPod.

    `scripts_uri` is a place in a bucket whose name starts with `sagemaker-`, with an on_create.sh. Nodes mount
    `file_system` below LUSTRE_PATH. Without `tiered_storage_percent` no memory is set aside for checkpoints.
    """

    name: str
    eks_cluster_arn: str | None
    groups: Sequence[InstanceGroup]
    role: iam.IRole
    scripts_uri: str
    subnet: ec2.ISubnet
    security_groups: Sequence[ec2.ISecurityGroup]
    file_system: LustreFileSystem
    encryption_key: kms.IKey
    node_recovery: bool
    tiered_storage_percent: int | None


class HyperPodCluster(Construct):
    """The cluster and its instance groups; every volume is encrypted with the given key.

    Continuous provisioning is always on: customer-managed keys need it (SageMaker User Guide, smcluster-cmk.html), and
    without it one missing node is none at all.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: HyperPodClusterProps) -> None:
        super().__init__(scope, construct_id)
        self.resource = _Cfn(
            self,
            "Cluster",
            cluster_name=props.name,
            node_recovery="Automatic" if props.node_recovery else "None",
            node_provisioning_mode="Continuous",
            orchestrator=_orchestrator(props.eks_cluster_arn),
            vpc_config=_vpc_config(props, props.subnet),
            tiered_storage_config=_tiered_storage(props) if props.eks_cluster_arn else None,
            instance_groups=[_group(props, group) for group in props.groups],
        )
        self.cluster_arn = self.resource.attr_cluster_arn


def _tiered_storage(props: HyperPodClusterProps) -> sagemaker.CfnCluster.TieredStorageConfigProperty:
    """Said either way: a property that an update leaves out keeps its value."""
    percent = props.tiered_storage_percent
    return _Cfn.TieredStorageConfigProperty(
        mode="Disable" if percent is None else "Enable", instance_memory_allocation_percentage=percent
    )


def _orchestrator(eks_cluster_arn: str | None) -> sagemaker.CfnCluster.OrchestratorProperty:
    if eks_cluster_arn:
        return _Cfn.OrchestratorProperty(eks=_Cfn.ClusterOrchestratorEksConfigProperty(cluster_arn=eks_cluster_arn))
    return _Cfn.OrchestratorProperty(slurm=_Cfn.ClusterOrchestratorSlurmConfigProperty(slurm_config_strategy="Managed"))


def _vpc_config(props: HyperPodClusterProps, subnet: ec2.ISubnet) -> sagemaker.CfnCluster.VpcConfigProperty:
    return _Cfn.VpcConfigProperty(
        security_group_ids=[group.security_group_id for group in props.security_groups], subnets=[subnet.subnet_id]
    )


def _group(props: HyperPodClusterProps, group: InstanceGroup) -> sagemaker.CfnCluster.ClusterInstanceGroupProperty:
    return _Cfn.ClusterInstanceGroupProperty(
        instance_group_name=group.name,
        instance_type=f"{PREFIX}{group.instance_type}",
        instance_count=group.nodes,
        min_instance_count=group.min_nodes,
        execution_role=props.role.role_arn,
        life_cycle_config=_Cfn.ClusterLifeCycleConfigProperty(source_s3_uri=props.scripts_uri, on_create=ON_CREATE),
        override_vpc_config=_vpc_config(props, group.subnet),
        # always said: an update of the cluster that leaves it out resets it
        threads_per_core=group.threads_per_core,
        on_start_deep_health_checks=list(group.checks) or None,
        training_plan_arn=group.training_plan_arn,
        capacity_requirements=_Cfn.ClusterCapacityRequirementsProperty(spot={}) if group.spot else None,
        network_interface=_Cfn.ClusterNetworkInterfaceProperty(interface_type="efa-only") if group.efa else None,
        slurm_config=_Cfn.ClusterSlurmConfigProperty(
            node_type=group.slurm_role,
            partition_names=[group.name] if group.slurm_role == "Compute" else None,
        )
        if group.slurm_role
        else None,
        instance_storage_configs=_storage(props, group),
    )


def _storage(
    props: HyperPodClusterProps, group: InstanceGroup
) -> list[sagemaker.CfnCluster.ClusterInstanceStorageConfigProperty]:
    key = props.encryption_key.key_arn
    return [
        _Cfn.ClusterInstanceStorageConfigProperty(
            ebs_volume_config=_Cfn.ClusterEbsVolumeConfigProperty(root_volume=True, volume_kms_key_id=key)
        ),
        _Cfn.ClusterInstanceStorageConfigProperty(
            ebs_volume_config=_Cfn.ClusterEbsVolumeConfigProperty(
                volume_kms_key_id=key, volume_size_in_gb=group.volume_gib
            )
        ),
        _Cfn.ClusterInstanceStorageConfigProperty(
            fsx_lustre_config=_Cfn.ClusterFsxLustreConfigProperty(
                dns_name=props.file_system.dns_name,
                mount_name=props.file_system.mount_name,
                mount_path=LUSTRE_PATH,
            )
        ),
    ]
