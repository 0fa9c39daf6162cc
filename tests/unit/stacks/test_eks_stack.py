"""What must be true of a team's cluster, however the templates look."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from aws_cdk import App
from aws_cdk.assertions import Match, Template

from paceline.spec.documents import parse, validate
from paceline.spec.errors import ParameterError
from stacks.settings import Parameters, Team
from stacks.team_stage import TeamStage
from stacks.validators import contradictions

TEAM = """
location: {account: "123456789012", region: us-east-1}
network:
  cidr: 10.70.0.0/16
  subnets: {use1-az1: 10.70.0.0/18, use1-az2: 10.70.64.0/18}
  interface_endpoints: [ec2, ecr.api, ecr.dkr, eks, eks-auth, logs, sts]
storage:
  file_system: {zone: use1-az1, size_gib: 1200}
alerts: {critical: [oncall@example.com]}
registry: {repositories: [node-agent, controller, cluster-tools]}
eks:
  version: "1.35"
  access:
    arn:aws:iam::123456789012:role/people/researcher: {policy: AmazonEKSEditPolicy, namespaces: [paceline-runs]}
  addon_versions: {vpc-cni: v1.20.4-eksbuild.1}
  pods:
    cidr: 100.64.0.0/16
    subnets: {use1-az1: 100.64.0.0/18, use1-az2: 100.64.64.0/18}
  system_nodes: {zones: [use1-az1, use1-az2]}
  repair:
    max_parallel: 1
    stop_above_percent: 20
    overrides:
      - {condition: AcceleratedHardwareReady, reason: NvidiaXID79Error, wait_minutes: 5, action: Replace}
  software:
    tools: {repository: cluster-tools, tag: 1.0.0}
    install: [jobset, kueue, nvidia-device-plugin, efa-device-plugin, prometheus-agent]
    node_agent: {repository: node-agent, tag: 0.1.0}
capacity:
  block:
    serves: eks
    instance_type: p5en.48xlarge
    zone: use1-az1
    nodes: 4
    spares: 1
    purchase:
      kind: capacity-block
      reservation: cr-0123456789abcdef0
      instances: 4
      starts: 2026-12-01T11:30:00Z
      ends: 2026-12-15T11:30:00Z
lifecycle: disposable
"""


def read(text: str) -> Team:
    document = parse(text, "alpha.yaml", ParameterError)
    team = Team(name="alpha", parameters=validate(Parameters, document, ParameterError))
    assert not [problem.message for problem in contradictions(team, document)]
    return team


@pytest.fixture(scope="module")
def stage(cdk_flags: dict[str, Any]) -> TeamStage:
    return TeamStage(App(context=cdk_flags, builtin_cloud_formation_validation=False), team=read(TEAM))


@pytest.fixture(scope="module")
def template(stage: TeamStage) -> Template:
    assert stage.eks is not None
    return Template.from_stack(stage.eks)


def test_a_team_without_the_section_has_no_cluster(sandbox: TeamStage) -> None:
    assert sandbox.eks is None


def test_only_the_vpc_reaches_the_endpoint(template: Template) -> None:
    template.has_resource_properties(
        "AWS::EKS::Cluster",
        {"ResourcesVpcConfig": Match.object_like({"EndpointPrivateAccess": True, "EndpointPublicAccess": False})},
    )
    for rule in template.find_resources("AWS::EC2::SecurityGroupIngress").values():
        assert rule["Properties"].get("CidrIp") in (None, "100.64.0.0/16")


def test_whoever_deploys_gets_no_access(template: Template) -> None:
    access = {"AuthenticationMode": "API", "BootstrapClusterCreatorAdminPermissions": False}
    template.has_resource_properties("AWS::EKS::Cluster", {"AccessConfig": access})
    template.resource_count_is("AWS::EKS::AccessEntry", 2)  # the team's one, and the installing project's
    template.has_resource_properties(
        "AWS::EKS::AccessEntry",
        {
            "PrincipalArn": "arn:aws:iam::123456789012:role/people/researcher",
            "AccessPolicies": [
                Match.object_like({"AccessScope": {"Type": "namespace", "Namespaces": ["paceline-runs"]}})
            ],
        },
    )


def test_every_log_is_kept_encrypted_and_secrets_are_encrypted(template: Template) -> None:
    [cluster] = template.find_resources("AWS::EKS::Cluster").values()
    kinds = [kind["Type"] for kind in cluster["Properties"]["Logging"]["ClusterLogging"]["EnabledTypes"]]
    assert kinds == ["api", "audit", "authenticator", "controllerManager", "scheduler"]
    [encryption] = cluster["Properties"]["EncryptionConfig"]
    assert encryption["Resources"] == ["secrets"]
    template.has_resource_properties(
        "AWS::Logs::LogGroup", {"LogGroupName": "/aws/eks/paceline-alpha/cluster", "KmsKeyId": Match.any_value()}
    )


def test_pods_get_prefixes_in_their_own_subnets(template: Template) -> None:
    [addon] = template.find_resources("AWS::EKS::Addon", {"Properties": {"AddonName": "vpc-cni"}}).values()
    assert addon["Properties"]["AddonVersion"] == "v1.20.4-eksbuild.1"
    text = json.dumps(addon["Properties"]["ConfigurationValues"]).replace('\\"', '"')
    assert '"ENABLE_PREFIX_DELEGATION":"true"' in text
    assert '"ENI_CONFIG_LABEL_DEF":"paceline.dev/zone-id"' in text
    template.has_resource_properties("AWS::EC2::VPCCidrBlock", {"CidrBlock": "100.64.0.0/16"})
    for zone, block in (("use1-az1", "100.64.0.0/18"), ("use1-az2", "100.64.64.0/18")):
        template.has_resource_properties("AWS::EC2::Subnet", {"AvailabilityZoneId": zone, "CidrBlock": block})


def test_nodes_wait_for_the_network_of_pods_and_controllers_for_nodes(template: Template) -> None:
    addons = template.find_resources("AWS::EKS::Addon")
    by_name = {addon["Properties"]["AddonName"]: name for name, addon in addons.items()}
    for group in template.find_resources("AWS::EKS::Nodegroup").values():
        assert {by_name["vpc-cni"], by_name["eks-pod-identity-agent"], by_name["kube-proxy"]} <= set(group["DependsOn"])
    groups = set(template.find_resources("AWS::EKS::Nodegroup"))
    for name in ("coredns", "aws-fsx-csi-driver", "eks-node-monitoring-agent"):
        assert groups <= set(addons[by_name[name]]["DependsOn"])


def test_system_nodes_stand_in_both_zones_and_hide_their_role(template: Template) -> None:
    groups = template.find_resources("AWS::EKS::Nodegroup").values()
    assert {group["Properties"]["Labels"]["paceline.dev/zone-id"] for group in groups} == {"use1-az1", "use1-az2"}
    for launch in template.find_resources("AWS::EC2::LaunchTemplate").values():
        data = launch["Properties"]["LaunchTemplateData"]
        assert data["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
        assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True


def test_accelerator_nodes_come_from_the_block_and_are_repaired_as_asked(stage: TeamStage) -> None:
    template = Template.from_stack(stage.capacity["block"])
    [group] = [group["Properties"] for group in template.find_resources("AWS::EKS::Nodegroup").values()]
    assert (group["CapacityType"], group["AmiType"]) == ("CAPACITY_BLOCK", "AL2023_x86_64_NVIDIA")
    assert group["ScalingConfig"] == {"MinSize": 0, "DesiredSize": 0, "MaxSize": 4}
    assert group["Taints"] == [{"Key": "nvidia.com/gpu", "Value": "present", "Effect": "NO_SCHEDULE"}]
    assert "InstanceTypes" not in group  # the launch template has it
    assert group["NodeRepairConfig"] == {
        "Enabled": True,
        "MaxParallelNodesRepairedCount": 1,
        "MaxUnhealthyNodeThresholdPercentage": 20,
        "NodeRepairConfigOverrides": [
            {
                "NodeMonitoringCondition": "AcceleratedHardwareReady",
                "NodeUnhealthyReason": "NvidiaXID79Error",
                "MinRepairWaitTimeMins": 5,
                "RepairAction": "Replace",
            }
        ],
    }


def test_nodes_of_the_block_are_members_of_the_cluster(stage: TeamStage) -> None:
    template = Template.from_stack(stage.capacity["block"])
    [launch] = template.find_resources("AWS::EC2::LaunchTemplate").values()
    addressed = [
        i for i in launch["Properties"]["LaunchTemplateData"]["NetworkInterfaces"] if i["InterfaceType"] == "interface"
    ]
    assert all(len(interface["Groups"]) == 2 for interface in addressed)


def projects(template: Template) -> tuple[dict[str, Any], dict[str, Any]]:
    """The one that copies, and the one that installs."""
    found = [project["Properties"] for project in template.find_resources("AWS::CodeBuild::Project").values()]
    [mirror] = [project for project in found if "mirror.sh" in project["Source"]["BuildSpec"]]
    [apply] = [project for project in found if "apply.sh" in project["Source"]["BuildSpec"]]
    return mirror, apply


def test_the_installing_project_runs_inside_the_vpc_and_the_copying_one_outside(template: Template) -> None:
    mirror, apply = projects(template)
    assert "VpcConfig" not in mirror
    assert len(apply["VpcConfig"]["Subnets"]) == 2
    for project in (mirror, apply):
        assert (project["EncryptionKey"] is not None, project["ConcurrentBuildLimit"]) == (True, 1)
    variables = {v["Name"]: v for v in apply["Environment"]["EnvironmentVariables"]}
    assert variables["METRICS_ENDPOINT"]["Value"] == "/paceline/alpha/observability/metrics-endpoint"
    assert variables["METRICS_ENDPOINT"]["Type"] == "PARAMETER_STORE"
    [(mirror_name, _)] = [
        (name, project)
        for name, project in template.find_resources("AWS::CodeBuild::Project").items()
        if "mirror.sh" in project["Properties"]["Source"]["BuildSpec"]
    ]
    assert variables["MIRROR_PROJECT"]["Value"] == {"Ref": mirror_name}


def test_only_the_copying_project_pushes_and_only_to_copies(template: Template) -> None:
    pushed: dict[str, list[Any]] = {}
    for name, policy in template.find_resources("AWS::IAM::Policy").items():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            if "ecr:PutImage" in statement["Action"]:
                pushed.setdefault(name, []).append(statement["Resource"])
    [(name, resources)] = pushed.items()
    assert name.startswith("SoftwareMirror")
    assert all("Repo" in str(r) or "Chart" in str(r) or "Image" in str(r) for r in resources)
    assert "*" not in resources


def test_the_efa_plugin_is_pulled_from_awss_own_registry(template: Template) -> None:
    [policy] = [
        resource["Properties"]
        for name, resource in template.find_resources("AWS::IAM::Policy").items()
        if name.startswith("SoftwareMirror")
    ]
    resources = [r for s in policy["PolicyDocument"]["Statement"] for r in s["Resource"] if isinstance(r, str)]
    assert [resource for resource in resources if ":602401143452:" in resource] == [
        "arn:aws:ecr:us-west-2:602401143452:repository/eks/aws-efa-k8s-device-plugin"
    ]


def test_there_is_a_repository_for_a_copy_of_every_chart_and_image(template: Template) -> None:
    names = {r["Properties"]["RepositoryName"] for r in template.find_resources("AWS::ECR::Repository").values()}
    assert {"paceline/alpha/charts/kueue", "paceline/alpha/images/kueue", "paceline/alpha/charts/prometheus"} <= names


@pytest.mark.parametrize(
    "name", ["eks/cluster-name", "eks/node-role-arn", "eks/mirror-project", "eks/software-project"]
)
def test_publishes(template: Template, name: str) -> None:
    template.has_resource_properties("AWS::SSM::Parameter", {"Name": f"/paceline/alpha/{name}"})


def test_without_pods_of_their_own_the_vpc_keeps_one_block(cdk_flags: dict[str, Any]) -> None:
    data = yaml.safe_load(TEAM)
    del data["eks"]["pods"], data["eks"]["software"]
    app = App(context=cdk_flags, builtin_cloud_formation_validation=False)
    stage = TeamStage(app, team=Team(name="alpha", parameters=Parameters.model_validate(data)))
    assert stage.eks is not None
    template = Template.from_stack(stage.eks)
    template.resource_count_is("AWS::EC2::VPCCidrBlock", 0)
    template.resource_count_is("AWS::CodeBuild::Project", 0)


def test_an_access_entry_names_a_role_that_people_assume() -> None:
    for wrong in (":user/me", ":role/aws-service-role/x"):
        document = parse(TEAM.replace(":role/people/researcher", wrong), "alpha.yaml", ParameterError)
        try:
            team = Team(name="alpha", parameters=validate(Parameters, document, ParameterError))
            found = [problem.message for problem in contradictions(team, document)]
        except ParameterError as error:
            found = [problem.message for problem in error.problems]
        [message] = found
        assert f"eks.access.arn:aws:iam::123456789012{wrong}" in message


def test_operators_and_workflows_start_the_projects_and_the_controller_repairs_nodes(cdk_flags: dict[str, Any]) -> None:
    data = yaml.safe_load(TEAM)
    data["eks"]["software"]["controller"] = {"repository": "controller", "tag": "0.1.0"}
    data["governance"] = {"operators": {"trusted": ["arn:aws:iam::123456789012:role/operations"]}}
    data["delivery"] = {"repository": "acme/platform", "branches": ["main"]}
    app = App(context=cdk_flags, builtin_cloud_formation_validation=False)
    stage = TeamStage(app, team=Team(name="alpha", parameters=Parameters.model_validate(data)))
    assert stage.governance and stage.delivery
    for stack, role in ((stage.governance, "Operator"), (stage.delivery, "Deployer")):
        [policy] = [
            resource["Properties"]["PolicyDocument"]["Statement"]
            for name, resource in Template.from_stack(stack).find_resources("AWS::IAM::Policy").items()
            if name.startswith(role)
        ]
        started = [s["Resource"] for s in policy if "codebuild:StartBuild" in s["Action"]]
        assert len(json.dumps(started).split("SoftwareMirror")) > 1
        assert len(json.dumps(started).split("SoftwareApply")) > 1
        assert "*" not in started
    Template.from_stack(stage.governance).has_resource_properties(
        "AWS::EKS::PodIdentityAssociation", {"Namespace": "paceline-system", "ServiceAccount": "paceline-controller"}
    )
    Template.from_stack(stage.governance).has_resource_properties(
        "AWS::SSM::Parameter", {"Name": "/paceline/alpha/governance/controller-role"}
    )
