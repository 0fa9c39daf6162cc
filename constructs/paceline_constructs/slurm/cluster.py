"""A Slurm controller that AWS runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_pcs as pcs
from constructs import Construct

from paceline.catalog.slurm import Ports
from paceline_constructs.guardrails.replaceable_name import replaceable_name
from paceline_constructs.network.node_security_group import NodeSecurityGroup
from paceline_constructs.network.service_security_group import ServiceSecurityGroup
from paceline_constructs.slurm.accounting import accounting
from paceline_constructs.slurm.settings import all_settings


@dataclass(frozen=True, kw_only=True, slots=True)
class SlurmClusterProps:
    """`version`, `size` and `settings` must be legal by paceline.catalog.slurm; `settings` come on top of paceline's.
    `subnet` is in the zone `zone_id`, and `name` is what the cluster's own name begins with (35 characters at most).

    Nodes that idle for `idle_seconds` end. `keep_days` is how long accounting keeps jobs: None is for ever, and
    without `with_accounting` there is none. `with_accounts`: slurm.conf obeys accounts, QOS and shares, which need it.
    """

    name: str
    version: str
    size: str
    ports: Ports
    vpc: ec2.IVpc
    zone_id: str
    subnet: ec2.ISubnet
    idle_seconds: int
    settings: Mapping[str, str]
    with_accounting: bool
    keep_days: int | None
    with_accounts: bool


class SlurmCluster(Construct):
    """An AWS PCS cluster. `nodes` is the security group of its nodes, for their interfaces that have an address.

    The members of `nodes` reach each other, the controller and, over HTTPS, the endpoints of AWS services; what else
    they need (file systems) is added by who offers it. PCS keeps the cluster's secret in Secrets Manager.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: SlurmClusterProps) -> None:
        super().__init__(scope, construct_id)
        self.nodes = NodeSecurityGroup(self, "Nodes", vpc=props.vpc, description="Nodes of the Slurm cluster")
        settings = all_settings(props.settings, props.ports, with_accounts=props.with_accounts)
        cluster = pcs.CfnCluster(
            self,
            "Cluster",
            # PCS changes neither size nor network in place
            name=replaceable_name(props.name, props.size, props.zone_id),
            size=props.size,
            scheduler=pcs.CfnCluster.SchedulerProperty(type="SLURM", version=props.version),
            networking=pcs.CfnCluster.NetworkingProperty(
                network_type="IPV4",
                subnet_ids=[props.subnet.subnet_id],
                security_group_ids=[self._controller(props).security_group_id],
            ),
            slurm_configuration=pcs.CfnCluster.SlurmConfigurationProperty(
                scale_down_idle_time_in_seconds=props.idle_seconds,
                accounting=accounting(with_accounting=props.with_accounting, keep_days=props.keep_days),
                slurm_custom_settings=[
                    pcs.CfnCluster.SlurmCustomSettingProperty(parameter_name=name, parameter_value=value)
                    for name, value in sorted(settings.items())
                ],
            ),
        )
        self.cluster_id = cluster.attr_id
        self.cluster_arn = cluster.attr_arn

    def _controller(self, props: SlurmClusterProps) -> ec2.SecurityGroup:
        ctld, slurmd = props.ports.slurmctld, ec2.Port.tcp(props.ports.slurmd)
        group = ServiceSecurityGroup(
            self,
            "Controller",
            vpc=props.vpc,
            description="slurmctld from nodes",
            clients=self.nodes,
            ports=[(ctld, ctld)],
        )
        group.connections.allow_to(self.nodes, slurmd, "slurmd on nodes")
        return group
