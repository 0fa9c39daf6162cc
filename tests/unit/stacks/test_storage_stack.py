"""What must be true of what a team must not lose."""

from __future__ import annotations

import pytest
from aws_cdk.assertions import Match, Template

from paceline.spec.names import PARAMETER_CHECKPOINT_BUCKET, PARAMETER_DATA_BUCKET, PARAMETER_FILE_SYSTEM_ID
from stacks.team_stage import TeamStage


@pytest.fixture(scope="module")
def template(sandbox: TeamStage) -> Template:
    return Template.from_stack(sandbox.storage)


def test_every_bucket_is_versioned_private_and_encrypted(template: Template) -> None:
    buckets = template.find_resources("AWS::S3::Bucket")
    assert len(buckets) == 3
    for bucket in buckets.values():
        properties = bucket["Properties"]
        assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert properties["BucketEncryption"]


@pytest.mark.parametrize("name", ["Data", "Checkpoints"])
def test_data_is_encrypted_with_the_teams_key_and_access_is_logged(
    sandbox: TeamStage, template: Template, name: str
) -> None:
    [key] = Template.from_stack(sandbox.foundation).find_resources("AWS::KMS::Key")
    [bucket] = [b for logical, b in template.find_resources("AWS::S3::Bucket").items() if logical.startswith(name)]
    [rule] = bucket["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert key in rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"]["Fn::GetStackOutput"]["OutputName"]
    assert bucket["Properties"]["LoggingConfiguration"]["LogFilePrefix"] == f"{name.lower()}/"


def test_every_bucket_refuses_plain_http(template: Template) -> None:
    buckets = set(template.find_resources("AWS::S3::Bucket"))
    policies = template.find_resources(
        "AWS::S3::BucketPolicy",
        {
            "Properties": {
                "PolicyDocument": {
                    "Statement": Match.array_with(
                        [Match.object_like({"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}})]
                    )
                }
            }
        },
    )
    assert {policy["Properties"]["Bucket"]["Ref"] for policy in policies.values()} == buckets


def test_file_system_is_linked_to_the_data_bucket(template: Template) -> None:
    [data] = [name for name in template.find_resources("AWS::S3::Bucket") if name.startswith("Data")]
    [file_system] = template.find_resources("AWS::FSx::FileSystem")
    template.has_resource_properties(
        "AWS::FSx::DataRepositoryAssociation",
        {
            "FileSystemId": {"Ref": file_system},
            "FileSystemPath": "/data",
            "DataRepositoryPath": {"Fn::Join": ["", ["s3://", {"Ref": data}, "/datasets"]]},
        },
    )


def test_deleting_a_file_on_a_node_does_not_reach_the_bucket(template: Template) -> None:
    template.has_resource_properties(
        "AWS::FSx::DataRepositoryAssociation", {"S3": {"AutoExportPolicy": {"Events": ["NEW", "CHANGED"]}}}
    )


def test_file_system_matches_the_parameters(template: Template) -> None:
    template.has_resource_properties(
        "AWS::FSx::FileSystem",
        {
            "StorageCapacity": 1200,
            "KmsKeyId": Match.any_value(),
            "LustreConfiguration": {
                "DeploymentType": "PERSISTENT_2",
                "PerUnitStorageThroughput": 125,
                "EfaEnabled": False,
            },
        },
    )


def test_no_rule_admits_an_address(template: Template) -> None:
    """Lustre passes between named groups only."""
    rules = template.find_resources("AWS::EC2::SecurityGroupIngress")
    assert len(rules) == 6  # two port ranges, each: server to server, client to server, server to client
    assert all("CidrIp" not in rule["Properties"] for rule in rules.values())
    for group in template.find_resources("AWS::EC2::SecurityGroup").values():
        assert "SecurityGroupIngress" not in group["Properties"]


@pytest.mark.parametrize(
    "name", [PARAMETER_DATA_BUCKET, PARAMETER_CHECKPOINT_BUCKET, PARAMETER_FILE_SYSTEM_ID], ids=str
)
def test_publishes(template: Template, name: str) -> None:
    template.has_resource_properties("AWS::SSM::Parameter", {"Name": f"/paceline/sandbox/{name}"})
