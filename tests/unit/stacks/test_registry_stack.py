"""What must be true of the team's repositories."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from aws_cdk.assertions import Match, Template

from paceline.spec.errors import ParameterError
from stacks.team_stage import TeamStage
from stacks.teams import read_teams

SHIPPED = Path(__file__).parents[3] / "stacks" / "parameters"


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


@pytest.fixture(scope="module")
def building(make_team: Callable[..., TeamStage]) -> Template:
    """A team whose images are built, signed and copied."""
    registry = {"repositories": ["gpu", "cpu"], "build": ["gpu", "cpu"], "signed": True, "replicate_to": ["us-west-2"]}
    return Template.from_stack(make_team(registry=registry).registry)


def test_a_project_builds_each_image_and_signs_it(building: Template) -> None:
    projects = building.find_resources("AWS::CodeBuild::Project").values()
    environments = [project["Properties"]["Environment"] for project in projects]
    images = {e["EnvironmentVariables"][0]["Value"]: e["ComputeType"] for e in environments}
    assert images == {"gpu": "BUILD_GENERAL1_2XLARGE", "cpu": "BUILD_GENERAL1_MEDIUM"}
    assert all(environment["PrivilegedMode"] for environment in environments)
    [profile] = building.find_resources("AWS::Signer::SigningProfile")
    policies = json.dumps(list(building.find_resources("AWS::IAM::Policy").values()))
    assert policies.count('"signer:SignPayload"') == 2
    building.has_resource_properties(
        "AWS::ECR::SigningConfiguration",
        {
            "Rules": [
                {
                    "RepositoryFilters": [{"Filter": "paceline/other/*", "FilterType": "WILDCARD_MATCH"}],
                    "SigningProfileArn": {"Fn::GetAtt": [profile, "Arn"]},
                }
            ]
        },
    )


def test_images_are_copied_to_other_regions(building: Template) -> None:
    rule = {
        "Destinations": [{"Region": "us-west-2", "RegistryId": "123456789012"}],
        "RepositoryFilters": [{"Filter": "paceline/other/", "FilterType": "PREFIX_MATCH"}],
    }
    building.has_resource_properties(
        "AWS::ECR::ReplicationConfiguration", {"ReplicationConfiguration": {"Rules": [rule]}}
    )


def test_a_team_that_asks_for_none_has_no_builder(template: Template) -> None:
    for kind in ("AWS::CodeBuild::Project", "AWS::ECR::SigningConfiguration", "AWS::ECR::ReplicationConfiguration"):
        template.resource_count_is(kind, 0)


@pytest.fixture
def parameters(tmp_path: Path) -> Path:
    """The parameters of the sandbox team alone."""
    for name in ("platform.yaml", "sandbox.yaml"):
        shutil.copy(SHIPPED / name, tmp_path / name)
    return tmp_path


def messages(parameters: Path) -> list[str]:
    with pytest.raises(ParameterError) as caught:
        read_teams(parameters)
    return [problem.message for problem in caught.value.problems]


def test_what_cannot_be_built_is_refused(parameters: Path) -> None:
    with (parameters / "sandbox.yaml").open("a") as file:
        file.write("registry:\n  repositories: [cpu]\n  build: [cpu, gppu, gpu]\n  replicate_to: [us-east-1]\n")
    typo, homeless, own = messages(parameters)
    assert "there is no images/gppu/Dockerfile" in typo
    assert "gpu is not one of registry.repositories" in homeless
    assert "us-east-1 is the region that the team is in" in own


def test_a_registry_is_signed_by_one_team(parameters: Path) -> None:
    text = (parameters / "sandbox.yaml").read_text() + "registry:\n  repositories: [cpu]\n  signed: true\n"
    (parameters / "sandbox.yaml").write_text(text)
    (parameters / "second.yaml").write_text(text.replace("10.64.", "10.65."))
    [message] = messages(parameters)
    assert "second.yaml" in message and "sandbox has this in account 123456789012, us-east-1" in message
