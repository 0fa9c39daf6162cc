"""What must be true of a Slurm cluster and its nodes, however the templates look."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk.assertions import Match, Template

from paceline.spec.names import PARAMETER_SLURM_CLUSTER_ID, PARAMETER_SLURM_HOMES, PARAMETER_SLURM_LUSTRE
from stacks.team_stage import TeamStage


@pytest.fixture(scope="module")
def template(slurm_team: TeamStage) -> Template:
    assert slurm_team.slurm is not None
    return Template.from_stack(slurm_team.slurm)


@pytest.fixture(scope="module")
def capacity(slurm_team: TeamStage) -> Template:
    return Template.from_stack(slurm_team.capacity["p5"])


def test_the_cluster_is_the_one_of_the_parameters(template: Template) -> None:
    template.has_resource_properties(
        "AWS::PCS::Cluster",
        {
            "Size": "MEDIUM",
            "Scheduler": {"Type": "SLURM", "Version": "25.11"},
            "SlurmConfiguration": {
                "Accounting": {"Mode": "STANDARD", "DefaultPurgeTimeInDays": 730},
                "ScaleDownIdleTimeInSeconds": 600,
            },
        },
    )


def test_hooks_stand_beside_the_teams_settings(template: Template) -> None:
    [cluster] = template.find_resources("AWS::PCS::Cluster").values()
    settings = cluster["Properties"]["SlurmConfiguration"]["SlurmCustomSettings"]
    written = {setting["ParameterName"]: setting["ParameterValue"] for setting in settings}
    assert written["SelectTypeParameters"] == "CR_CPU_Memory"
    assert written["Prolog"] == "/opt/paceline/bin/prolog"
    assert written["HealthCheckProgram"] == "/opt/paceline/bin/health"


def test_only_named_groups_and_https_pass(template: Template) -> None:
    for rule in template.find_resources("AWS::EC2::SecurityGroupIngress").values():
        assert "CidrIp" not in rule["Properties"]
    outside = [
        rule
        for group in template.find_resources("AWS::EC2::SecurityGroup").values()
        for rule in group["Properties"]["SecurityGroupEgress"]
        if rule["CidrIp"] != "127.0.0.1/32"
    ]
    assert [(rule["CidrIp"], rule["FromPort"], rule["ToPort"]) for rule in outside] == [("0.0.0.0/0", 443, 443)]


@pytest.mark.parametrize(("port", "towards"), [(6817, "Controller"), (6818, "Nodes")])
def test_controller_and_nodes_reach_each_other(template: Template, port: int, towards: str) -> None:
    rules = template.find_resources("AWS::EC2::SecurityGroupIngress", {"Properties": {"FromPort": port}})
    assert any(towards in str(rule["Properties"]["GroupId"]) for rule in rules.values())


def test_nobody_logs_in_by_ssh(template: Template) -> None:
    [login] = template.find_resources("AWS::EC2::LaunchTemplate").values()
    assert "KeyName" not in login["Properties"]["LaunchTemplateData"]
    assert not template.find_resources("AWS::EC2::SecurityGroupIngress", {"Properties": {"FromPort": 22}})
    template.has_resource_properties(
        "AWS::IAM::Role",
        {"Path": "/aws-pcs/", "ManagedPolicyArns": [Match.object_like({"Fn::Join": Match.any_value()})]},
    )


def test_login_nodes_are_a_group_without_a_queue(template: Template) -> None:
    template.has_resource_properties(
        "AWS::PCS::ComputeNodeGroup",
        {
            "Name": Match.string_like_regexp("^login-"),
            "ScalingConfiguration": {"MinInstanceCount": 2, "MaxInstanceCount": 2},
        },
    )
    template.resource_count_is("AWS::PCS::Queue", 0)


def test_login_nodes_have_encrypted_volumes_and_guarded_metadata(template: Template) -> None:
    template.has_resource_properties(
        "AWS::EC2::LaunchTemplate",
        {
            "LaunchTemplateData": {
                "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
                "BlockDeviceMappings": [{"Ebs": {"Encrypted": True, "KmsKeyId": Match.any_value()}}],
            }
        },
    )


def test_homes_are_encrypted_and_fail_over(template: Template) -> None:
    template.has_resource_properties(
        "AWS::FSx::FileSystem",
        {
            "FileSystemType": "OPENZFS",
            "StorageCapacity": 1024,
            "KmsKeyId": Match.any_value(),
            "OpenZFSConfiguration": {
                "DeploymentType": "SINGLE_AZ_HA_2",
                "ThroughputCapacity": 320,
                "AutomaticBackupRetentionDays": 30,
            },
        },
    )


def test_homes_of_a_retained_team_outlive_their_stack(make_team: Any, slurm_team: TeamStage) -> None:
    settings = slurm_team.foundation.team.parameters.slurm
    assert settings is not None
    retained = make_team(lifecycle="retained", slurm=settings.model_dump(mode="json"))
    [homes] = Template.from_stack(retained.slurm).find_resources("AWS::FSx::FileSystem").values()
    assert homes["DeletionPolicy"] == "Retain"


def test_nodes_read_no_parameter_but_those_of_their_boot(template: Template) -> None:
    [policy] = template.find_resources("AWS::IAM::Policy").values()
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    [readable] = [s["Resource"] for s in statements if s["Action"] == "ssm:GetParameter"]
    assert {path.partition("/other/")[2] for path in readable} == {
        "observability/metrics-endpoint",
        "registry/repository-prefix",
        "slurm/homes",
        "slurm/lustre",
    }
    assert not any("*" in str(arn) for arn in readable)


def test_pcs_may_use_the_teams_key_for_volumes(slurm_team: TeamStage) -> None:
    [key] = Template.from_stack(slurm_team.foundation).find_resources("AWS::KMS::Key").values()
    [volumes] = [s for s in key["Properties"]["KeyPolicy"]["Statement"] if s.get("Sid") == "VolumesOfNodes"]
    assert any("AWSServiceRoleForPCS" in arn for arn in volumes["Condition"]["ArnEquals"]["aws:PrincipalArn"])


def test_a_source_is_a_group_and_its_queue(capacity: Template) -> None:
    [group] = capacity.find_resources("AWS::PCS::ComputeNodeGroup")
    capacity.has_resource_properties(
        "AWS::PCS::ComputeNodeGroup",
        {
            "Name": Match.string_like_regexp("^p5-[0-9a-f]{4}$"),
            "AmiId": "ami-0123456789abcdef1",
            "PurchaseOption": "ONDEMAND",
            "InstanceConfigs": [{"InstanceType": "p5.48xlarge"}],
            "ScalingConfiguration": {"MinInstanceCount": 1, "MaxInstanceCount": 4},
        },
    )
    capacity.has_resource_properties(
        "AWS::PCS::Queue",
        {"Name": "p5", "ComputeNodeGroupConfigurations": [{"ComputeNodeGroupId": {"Fn::GetAtt": [group, "Id"]}}]},
    )


def test_nodes_follow_every_version_of_their_template(capacity: Template) -> None:
    [template] = capacity.find_resources("AWS::EC2::LaunchTemplate")
    capacity.has_resource_properties(
        "AWS::PCS::ComputeNodeGroup",
        {"CustomLaunchTemplate": {"Version": {"Fn::GetAtt": [template, "LatestVersionNumber"]}}},
    )


def test_trainium_from_spot_gets_its_image_and_purchase(slurm_team: TeamStage) -> None:
    Template.from_stack(slurm_team.capacity["spot"]).has_resource_properties(
        "AWS::PCS::ComputeNodeGroup", {"PurchaseOption": "SPOT", "AmiId": "ami-0123456789abcdef2"}
    )


def test_interfaces_with_an_address_reach_the_controller(capacity: Template) -> None:
    [template] = capacity.find_resources("AWS::EC2::LaunchTemplate").values()
    first, *others = template["Properties"]["LaunchTemplateData"]["NetworkInterfaces"]
    assert len(first["Groups"]) == 2
    assert {len(other["Groups"]) for other in others} == {1}


@pytest.mark.parametrize("name", [PARAMETER_SLURM_CLUSTER_ID, PARAMETER_SLURM_HOMES, PARAMETER_SLURM_LUSTRE], ids=str)
def test_publishes_what_nodes_and_readers_need(template: Template, name: str) -> None:
    template.has_resource_properties("AWS::SSM::Parameter", {"Name": f"/paceline/other/{name}"})
