"""A team's container images."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from paceline.spec.base import Record
from stacks.settings.lists import Distinct
from stacks.settings.location import Region
from stacks.settings.retention import LogDays
from stacks.settings.update import LIVE, PARTS

RepositoryName = Annotated[str, Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$")]


class Registry(Record):
    """Repositories of container images in Amazon ECR. A tag cannot be overwritten once it is pushed."""

    repositories: Distinct[RepositoryName] = Field(
        min_length=1,
        description="names of repositories; in ECR each is paceline/, the team's name, / and its name",
        json_schema_extra=PARTS,
    )
    keep_images: int = Field(
        default=50,
        ge=1,
        description="tagged images kept in each repository; beyond it the oldest are deleted",
        json_schema_extra=LIVE,
    )
    build: Distinct[RepositoryName] = Field(
        default=(),
        description="images of this repository (folders of images/) that AWS CodeBuild builds, tests, scans and pushes"
        " when it is started; each is one of registry.repositories",
        json_schema_extra=PARTS,
    )
    log_days: LogDays = Field(default=90, description="days that the logs of builds are kept", json_schema_extra=LIVE)
    signed: bool = Field(
        default=False,
        description="sign what is pushed with AWS Signer. One team of an account and region can have this",
        json_schema_extra=LIVE,
    )
    replicate_to: Distinct[Region] = Field(
        default=(),
        description="other regions that get a copy of what is pushed. One team of an account and region can have this",
        json_schema_extra=LIVE,
    )
