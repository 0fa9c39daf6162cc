"""A VPC without a way to the Internet: one private subnet per zone, endpoints for the AWS services, flow logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from aws_cdk import RemovalPolicy, Stack, Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from paceline_constructs.network.zone_subnet import ZoneSubnet


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingVpcProps:
    """`subnets` maps an availability-zone id (use1-az4) to the block of its subnet, inside `cidr`.

    `interface_endpoints` are AWS service names as in `com.amazonaws.<region>.<name>`; S3 always has its (free) gateway
    endpoint. `encryption_key` must let CloudWatch Logs use it.
    """

    cidr: IPv4Network
    subnets: Mapping[str, IPv4Network]
    interface_endpoints: Sequence[str]
    encryption_key: kms.IKey
    flow_log_retention: logs.RetentionDays
    removal_policy: RemovalPolicy


class TrainingVpc(Construct):
    """The network of a team: `vpc`, `subnets` by zone id, and `endpoint_security_group` if there are endpoints.

    The subnets are placed by zone *id*: zone names differ between accounts, and capacity is reserved by id. ec2.Vpc
    places by name only and looks the names up, so VPC and subnets are made from their CloudFormation types here.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: TrainingVpcProps) -> None:
        super().__init__(scope, construct_id)
        network = ec2.CfnVPC(
            self,
            "Vpc",
            cidr_block=str(props.cidr),
            enable_dns_hostnames=True,  # both are needed for the private names of interface endpoints
            enable_dns_support=True,
        )
        Tags.of(network).add("Name", self.node.path)
        self.subnets = {
            zone_id: self._subnet(network, zone_id, block) for zone_id, block in sorted(props.subnets.items())
        }
        self.vpc = ec2.Vpc.from_vpc_attributes(
            self,
            "Imported",
            vpc_id=network.ref,
            vpc_cidr_block=str(props.cidr),
            availability_zones=list(self.subnets),
            isolated_subnet_ids=[subnet.subnet_id for subnet in self.subnets.values()],
            isolated_subnet_route_table_ids=[subnet.route_table.route_table_id for subnet in self.subnets.values()],
        )
        self.endpoint_security_group = self._add_endpoints(props)
        self._add_flow_logs(props)

    def _subnet(self, network: ec2.CfnVPC, zone_id: str, block: IPv4Network) -> ec2.ISubnet:
        scope = Construct(self, zone_id)
        table = ec2.CfnRouteTable(scope, "RouteTable", vpc_id=network.ref)
        subnet = ZoneSubnet(scope, "Subnet", vpc_id=network.ref, zone_id=zone_id, block=block, route_table_id=table.ref)
        Tags.of(table).add("Name", scope.node.path)
        return ec2.Subnet.from_subnet_attributes(
            scope,
            "Imported",
            subnet_id=subnet.ref,
            availability_zone=zone_id,
            ipv4_cidr_block=str(block),
            route_table_id=table.ref,
        )

    def _add_endpoints(self, props: TrainingVpcProps) -> ec2.SecurityGroup | None:
        subnets = ec2.SubnetSelection(subnets=list(self.subnets.values()))
        ec2.GatewayVpcEndpoint(
            self, "S3Endpoint", vpc=self.vpc, service=ec2.GatewayVpcEndpointAwsService.S3, subnets=[subnets]
        )
        if not props.interface_endpoints:
            return None
        # one group for all of them: they have the same one rule
        group = ec2.SecurityGroup(
            self,
            "EndpointSecurityGroup",
            vpc=self.vpc,
            description="HTTPS from the VPC to the endpoints of AWS services",
            allow_all_outbound=False,
        )
        group.add_ingress_rule(ec2.Peer.ipv4(str(props.cidr)), ec2.Port.tcp(443), "HTTPS from the VPC")
        for name in props.interface_endpoints:
            ec2.InterfaceVpcEndpoint(
                self,
                f"Endpoint-{name}",
                vpc=self.vpc,
                service=ec2.InterfaceVpcEndpointAwsService(name),
                subnets=subnets,
                security_groups=[group],
                open=False,  # the rule above is the only one
            )
        return group

    def _add_flow_logs(self, props: TrainingVpcProps) -> None:
        group = logs.LogGroup(
            self,
            "FlowLogGroup",
            encryption_key=props.encryption_key,
            retention=props.flow_log_retention,
            removal_policy=props.removal_policy,
        )
        ec2.FlowLog(
            self,
            "FlowLog",
            resource_type=ec2.FlowLogResourceType.from_vpc(self.vpc),
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(group, self._flow_log_role()),
            traffic_type=ec2.FlowLogTrafficType.ALL,
        )

    def _flow_log_role(self) -> iam.Role:
        """For flow logs of this account alone. Source: Amazon VPC User Guide, flow-logs-iam-role.html."""
        stack = Stack.of(self)
        source = stack.format_arn(service="ec2", resource="vpc-flow-log", resource_name="*")
        conditions = {"StringEquals": {"aws:SourceAccount": stack.account}, "ArnLike": {"aws:SourceArn": source}}
        trusted = iam.ServicePrincipal("vpc-flow-logs.amazonaws.com", conditions=conditions)
        return iam.Role(self, "FlowLogRole", assumed_by=trusted)
