"""What must be true of the team's repositories."""

from __future__ import annotations

import json

import pytest
from aws_cdk.assertions import Match, Template

from stacks.team_stage import TeamStage


@pytest.fixture(scope="module")
def template(sandbox: TeamStage) -> Template:
    return Template.from_stack(sandbox.registry)


def test_one_repository_per_name(sandbox: TeamStage, template: Template) -> None:
    found = {r["Properties"]["RepositoryName"] for r in template.find_resources("AWS::ECR::Repository").values()}
    assert found == {f"paceline/sandbox/{name}" for name in sandbox.registry.team.parameters.registry.repositories}


def test_images_are_scanned_encrypted_and_never_change(template: Template) -> None:
    template.all_resources_properties(
        "AWS::ECR::Repository",
        {
            "ImageTagMutability": "IMMUTABLE",
            "ImageScanningConfiguration": {"ScanOnPush": True},
            "EncryptionConfiguration": {"EncryptionType": "KMS", "KmsKey": Match.any_value()},
        },
    )


def test_old_images_go(template: Template) -> None:
    for repository in template.find_resources("AWS::ECR::Repository").values():
        rules = json.loads(repository["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
        assert [rule["selection"]["tagStatus"] for rule in rules] == ["untagged", "any"]


def test_publishes_the_prefix(template: Template) -> None:
    template.has_resource_properties("AWS::SSM::Parameter", {"Name": "/paceline/sandbox/registry/repository-prefix"})
