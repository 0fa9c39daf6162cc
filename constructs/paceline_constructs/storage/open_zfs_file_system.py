"""A file system for home directories."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_fsx as fsx
from aws_cdk import aws_kms as kms
from constructs import Construct

from paceline.catalog.fsx import OpenZfsRules
from paceline_constructs.network.service_security_group import ServiceSecurityGroup

# what FSx calls the root volume to NFS clients
_EXPORT = "/fsx"


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenZfsFileSystemProps:
    """`size_gib` and `mbps` must be legal by `rules` (paceline.catalog.fsx); every address of `cidr` may mount.

    `clients` is the security group of the nodes. With `highly_available` a second server of the same zone takes over.
    With `backup_days` 0 there are no backups.
    """

    rules: OpenZfsRules
    vpc: ec2.IVpc
    cidr: str
    subnet: ec2.ISubnet
    clients: ec2.ISecurityGroup
    encryption_key: kms.IKey
    size_gib: int
    mbps: int
    highly_available: bool
    backup_days: int
    removal_policy: RemovalPolicy


class OpenZfsFileSystem(Construct):
    """FSx for OpenZFS over NFS; `source` is what a client mounts."""

    def __init__(self, scope: Construct, construct_id: str, *, props: OpenZfsFileSystemProps) -> None:
        super().__init__(scope, construct_id)
        rules = props.rules
        # the server opens no connection
        group = ServiceSecurityGroup(
            self,
            "SecurityGroup",
            vpc=props.vpc,
            description="NFS from clients",
            clients=props.clients,
            ports=rules.ports,
            udp=True,
        )
        file_system = fsx.CfnFileSystem(
            self,
            "FileSystem",
            file_system_type="OPENZFS",
            storage_type="SSD",
            storage_capacity=props.size_gib,
            subnet_ids=[props.subnet.subnet_id],
            security_group_ids=[group.security_group_id],
            kms_key_id=props.encryption_key.key_arn,
            open_zfs_configuration=fsx.CfnFileSystem.OpenZFSConfigurationProperty(
                deployment_type=rules.deployment_type_available if props.highly_available else rules.deployment_type,
                throughput_capacity=props.mbps,
                automatic_backup_retention_days=props.backup_days,
                copy_tags_to_backups=True,
                root_volume_configuration=fsx.CfnFileSystem.RootVolumeConfigurationProperty(
                    data_compression_type="ZSTD",
                    nfs_exports=[
                        fsx.CfnFileSystem.NfsExportsProperty(
                            client_configurations=[
                                fsx.CfnFileSystem.ClientConfigurationsProperty(
                                    clients=props.cidr,
                                    # nodes make home directories as root
                                    options=["rw", "crossmnt", "no_root_squash"],
                                )
                            ]
                        )
                    ],
                ),
            ),
        )
        file_system.apply_removal_policy(props.removal_policy)
        self.file_system_id = file_system.ref
        self.source = f"{file_system.attr_dns_name}:{_EXPORT}"
