"""A Lustre file system in front of a bucket."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_fsx as fsx
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from paceline.catalog.fsx import LustreRules
from paceline_constructs.network.service_security_group import ServiceSecurityGroup

# where the bucket's prefix appears in the file system
DATA_PATH = "/data"


@dataclass(frozen=True, kw_only=True, slots=True)
class LustreFileSystemProps:
    """`size_gib`, `mbps_per_tib` and `efa` must be legal by `rules` (paceline.catalog.fsx).

    `clients` is the security group of the nodes; with EFA the file servers join it. `bucket_prefix` of `bucket` appears
    under DATA_PATH.
    """

    rules: LustreRules
    vpc: ec2.IVpc
    subnet: ec2.ISubnet
    clients: ec2.ISecurityGroup
    encryption_key: kms.IKey
    bucket: s3.IBucket
    bucket_prefix: str
    size_gib: int
    mbps_per_tib: int
    efa: bool
    removal_policy: RemovalPolicy


class LustreFileSystem(Construct):
    """FSx for Lustre, linked to a bucket; `source` is what a client mounts: `dns_name` and `mount_name`.

    There is no backup setting: FSx cannot back up a file system that is linked to a bucket. The bucket is the copy.
    fsx.LustreFileSystem knows neither EFA nor metadata settings, hence the CloudFormation type.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: LustreFileSystemProps) -> None:
        super().__init__(scope, construct_id)
        self.security_group = self._security_group(props)
        groups = [self.security_group, *([props.clients] if props.efa else [])]
        file_system = fsx.CfnFileSystem(
            self,
            "FileSystem",
            file_system_type="LUSTRE",
            file_system_type_version=props.rules.file_system_type_version,
            storage_type="SSD",
            storage_capacity=props.size_gib,
            subnet_ids=[props.subnet.subnet_id],
            security_group_ids=[group.security_group_id for group in groups],
            kms_key_id=props.encryption_key.key_arn,
            lustre_configuration=fsx.CfnFileSystem.LustreConfigurationProperty(
                deployment_type=props.rules.deployment_type,
                per_unit_storage_throughput=props.mbps_per_tib,
                efa_enabled=props.efa,
                # EFA asks for a metadata configuration; AUTOMATIC scales metadata IOPS with the size
                metadata_configuration=fsx.CfnFileSystem.MetadataConfigurationProperty(mode="AUTOMATIC"),
                data_compression_type="LZ4",
            ),
        )
        file_system.apply_removal_policy(props.removal_policy)
        self.file_system_id = file_system.ref
        self.dns_name = file_system.attr_dns_name
        self.mount_name = file_system.attr_lustre_mount_name
        self.source = f"{self.dns_name}@tcp:/{self.mount_name}"
        fsx.CfnDataRepositoryAssociation(
            self,
            "DataRepository",
            file_system_id=file_system.ref,
            file_system_path=DATA_PATH,
            data_repository_path=props.bucket.s3_url_for_object(props.bucket_prefix),
            batch_import_meta_data_on_create=True,
            s3=fsx.CfnDataRepositoryAssociation.S3Property(
                auto_import_policy=fsx.CfnDataRepositoryAssociation.AutoImportPolicyProperty(
                    events=["NEW", "CHANGED", "DELETED"]
                ),
                # no DELETED: `rm` on a node must not reach the bucket
                auto_export_policy=fsx.CfnDataRepositoryAssociation.AutoExportPolicyProperty(events=["NEW", "CHANGED"]),
            ),
        ).apply_removal_policy(props.removal_policy)

    def _security_group(self, props: LustreFileSystemProps) -> ec2.SecurityGroup:
        """The servers' group. Lustre opens connections from both sides, and servers talk to each other."""
        ports = props.rules.ports
        group = ServiceSecurityGroup(
            self, "SecurityGroup", vpc=props.vpc, description="Lustre from clients", clients=props.clients, ports=ports
        )
        for first, last in ports:
            port = ec2.Port.tcp_range(first, last)
            group.connections.allow_internally(port, "Lustre between file servers")
            group.connections.allow_to(props.clients, port, "Lustre to clients")
        return group
