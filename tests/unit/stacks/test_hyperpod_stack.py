"""What must be true of a HyperPod cluster, however the template looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Match, Template

from paceline.spec.names import PARAMETER_HYPERPOD_CLUSTER_ARN
from stacks.foundation import FoundationStack
from stacks.hyperpod import HyperPodStack
from stacks.settings import Parameters, Team
from stacks.storage import StorageStack
from stacks.team_stage import TeamStage

GOVERNANCE = {
    "priorities": {"prod": 90, "research": 50},
    "quotas": {"vision": {"instances": {"pool": 3}, "borrow_percent": 100, "weight": 70}},
}


@pytest.fixture(scope="module")
def template(hyperpod_team: TeamStage) -> Template:
    assert hyperpod_team.hyperpod is not None
    return Template.from_stack(hyperpod_team.hyperpod)


@dataclass
class Kubernetes:
    """Stands for the team's EKS stack."""

    cluster_arn: str
    security_groups: tuple[ec2.ISecurityGroup, ...] = ()


@pytest.fixture(scope="module")
def for_eks(sandbox: TeamStage, cdk_flags: dict[str, Any]) -> Template:
    return on_eks(sandbox, cdk_flags)


def on_eks(sandbox: TeamStage, cdk_flags: dict[str, Any], **changes: Any) -> Template:
    pool = {"serves": "hyperpod", "instance_type": "p5.48xlarge", "zone": "use1-az1", "nodes": 4}
    data = sandbox.foundation.team.parameters.model_dump(mode="json") | {
        "capacity": {"pool": pool | {"purchase": {"kind": "on-demand"}}},
        "hyperpod": {
            "orchestrator": "eks",
            "zone": "use1-az1",
            "tiered_storage_percent": 20,
            "governance": GOVERNANCE,
            **changes,
        },
    }
    team = Team(name="kube", parameters=Parameters.model_validate(data))
    app = App(context=cdk_flags, builtin_cloud_formation_validation=False)
    foundation = FoundationStack(app, "Foundation", team=team)
    storage = StorageStack(app, "Storage", team=team, foundation=foundation)
    group = ec2.SecurityGroup(Stack(app, "Eks"), "Cluster", vpc=foundation.network.vpc)
    eks = Kubernetes(cluster_arn="arn:aws:eks:us-east-1:123456789012:cluster/kube", security_groups=(group,))
    return Template.from_stack(
        HyperPodStack(app, "HyperPod", team=team, foundation=foundation, storage=storage, eks=eks)
    )


def properties(template: Template) -> dict[str, Any]:
    [cluster] = template.find_resources("AWS::SageMaker::Cluster").values()
    found: dict[str, Any] = cluster["Properties"]
    return found


def groups(template: Template) -> dict[str, dict[str, Any]]:
    return {group["InstanceGroupName"]: group for group in properties(template)["InstanceGroups"]}


def test_hyperpod_recovers_nodes_and_goes_on_asking_for_them(template: Template) -> None:
    assert properties(template)["NodeRecovery"] == "Automatic"
    assert properties(template)["NodeProvisioningMode"] == "Continuous"
    assert properties(template)["Orchestrator"] == {"Slurm": {"SlurmConfigStrategy": "Managed"}}


def test_slurm_has_its_controller_and_a_partition_per_source(template: Template) -> None:
    roles = {name: group["SlurmConfig"] for name, group in groups(template).items()}
    assert roles == {
        "controller": {"NodeType": "Controller"},
        "plan": {"NodeType": "Compute", "PartitionNames": ["plan"]},
        "spot": {"NodeType": "Compute", "PartitionNames": ["spot"]},
    }


def test_accelerators_are_checked_before_their_first_job(template: Template) -> None:
    plan = groups(template)["plan"]
    assert plan["OnStartDeepHealthChecks"] == ["InstanceStress", "InstanceConnectivity"]
    assert plan["NetworkInterface"] == {"InterfaceType": "efa-only"}
    assert plan["ThreadsPerCore"] == 1
    assert "OnStartDeepHealthChecks" not in groups(template)["controller"]


def test_a_source_says_how_it_is_bought(template: Template) -> None:
    assert groups(template)["plan"]["TrainingPlanArn"].endswith("training-plan/large")
    assert "CapacityRequirements" not in groups(template)["plan"]
    assert groups(template)["spot"]["CapacityRequirements"] == {"Spot": {}}


def test_every_volume_has_the_teams_key(template: Template) -> None:
    for group in groups(template).values():
        volumes = [s["EbsVolumeConfig"] for s in group["InstanceStorageConfigs"] if "EbsVolumeConfig" in s]
        assert [volume.get("RootVolume", False) for volume in volumes] == [True, False]
        assert all(volume["VolumeKmsKeyId"] for volume in volumes)


def test_every_node_mounts_the_file_system(template: Template) -> None:
    for group in groups(template).values():
        [lustre] = [s["FsxLustreConfig"] for s in group["InstanceStorageConfigs"] if "FsxLustreConfig" in s]
        assert lustre["MountPath"] == "/fsx"


def test_nodes_lie_in_the_zone_of_their_source(template: Template) -> None:
    placed = {name: str(group["OverrideVpcConfig"]["Subnets"]) for name, group in groups(template).items()}
    assert "use1az1" in placed["controller"]
    assert "use1az2" in placed["plan"]


def test_scripts_lie_where_hyperpod_reads_them(template: Template) -> None:
    [(bucket, resource)] = template.find_resources("AWS::S3::Bucket").items()
    assert resource["Properties"]["BucketName"] == "sagemaker-other-123456789012-us-east-1"
    [scripts] = template.find_resources("Custom::PacelineScripts").values()
    prefix = scripts["Properties"]["Prefix"]
    assert "on_create.sh" in scripts["Properties"]["Files"]
    for group in groups(template).values():
        uri = group["LifeCycleConfig"]["SourceS3Uri"]
        assert uri == {"Fn::Join": ["", ["s3://", {"Ref": bucket}, f"/{prefix}"]]}


def test_the_cluster_waits_for_its_scripts(template: Template) -> None:
    [name] = template.find_resources("Custom::PacelineScripts")
    [cluster] = template.find_resources("AWS::SageMaker::Cluster").values()
    assert name in cluster["DependsOn"]


def test_own_scripts_need_no_bucket(make_team: Any, hyperpod_team: TeamStage) -> None:
    parameters = hyperpod_team.foundation.team.parameters
    assert parameters.hyperpod is not None
    own = parameters.hyperpod.model_dump(mode="json") | {"scripts": "s3://sagemaker-own/scripts"}
    team = make_team(hyperpod=own, capacity=parameters.model_dump(mode="json")["capacity"])
    template = Template.from_stack(team.hyperpod)
    template.resource_count_is("AWS::S3::Bucket", 0)
    assert groups(template)["plan"]["LifeCycleConfig"]["SourceS3Uri"] == "s3://sagemaker-own/scripts"


def test_with_eks_kubernetes_schedules(for_eks: Template) -> None:
    cluster = properties(for_eks)
    assert cluster["Orchestrator"]["Eks"]["ClusterArn"].endswith("cluster/kube")
    assert cluster["TieredStorageConfig"] == {"Mode": "Enable", "InstanceMemoryAllocationPercentage": 20}
    assert len(cluster["VpcConfig"]["SecurityGroupIds"]) == 3
    assert "SlurmConfig" not in groups(for_eks)["pool"]


def test_a_quota_counts_nodes_by_type(for_eks: Template) -> None:
    for_eks.has_resource_properties(
        "AWS::SageMaker::ComputeQuota",
        {
            "ComputeQuotaTarget": {"TeamName": "vision", "FairShareWeight": 70},
            "ComputeQuotaConfig": {
                "ComputeQuotaResources": [{"InstanceType": "ml.p5.48xlarge", "Count": 3}],
                "ResourceSharingConfig": {"Strategy": "LendAndBorrow", "BorrowLimit": 100},
                "PreemptTeamTasks": "LowerPriority",
            },
        },
    )


def test_the_heavier_priority_runs_first(for_eks: Template) -> None:
    for_eks.has_resource_properties(
        "AWS::SageMaker::ClusterSchedulerConfig",
        {
            "SchedulerConfig": {
                "FairShare": "Enabled",
                "PriorityClasses": [{"Name": "prod", "Weight": 90}, {"Name": "research", "Weight": 50}],
            }
        },
    )


def test_publishes_its_arn(template: Template) -> None:
    template.has_resource_properties(
        "AWS::SSM::Parameter",
        {"Name": f"/paceline/other/{PARAMETER_HYPERPOD_CLUSTER_ARN}", "Value": Match.any_value()},
    )


def test_tiered_storage_is_switched_off_by_saying_so(
    sandbox: TeamStage, cdk_flags: dict[str, Any], template: Template
) -> None:
    """A property that an update leaves out keeps its value; Slurm has none."""
    without = on_eks(sandbox, cdk_flags, tiered_storage_percent=None)
    assert properties(without)["TieredStorageConfig"] == {"Mode": "Disable"}
    assert "TieredStorageConfig" not in properties(template)
