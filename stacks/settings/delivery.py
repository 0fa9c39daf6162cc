"""Who deploys: a repository's workflows."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from paceline.spec.base import Record
from stacks.settings.lists import Distinct
from stacks.settings.update import LIVE, REPLACE


def _repository(value: str) -> str:
    if "*" in value:
        raise ValueError(f"{value} lets in other repositories ## name one, as owner/name")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*/[\w.-]+", value, re.ASCII):
        raise ValueError(f"{value} is not a repository ## write owner/name, without https://")
    return value


def _name(value: str) -> str:
    if "*" in value:
        raise ValueError(f"{value} is a pattern ## name each one")
    if value.startswith("refs/"):
        raise ValueError(f"{value} is a reference ## write the name of the branch only, e.g. main")
    if not re.fullmatch(r"[\w./ -]+", value, re.ASCII):
        raise ValueError(f"{value} cannot be a name ## use letters, digits, dots, dashes and slashes")
    return value


# of aws-cdk-lib: DefaultStackSynthesizer.DEFAULT_QUALIFIER
DEFAULT_QUALIFIER = "hnb659fds"

Repository = Annotated[str, AfterValidator(_repository)]
Name = Annotated[str, AfterValidator(_name)]


class Delivery(Record):
    """Workflows of one GitHub repository deploy, from the named branches or environments only."""

    repository: Repository = Field(description="GitHub repository, as owner/name; no pattern", json_schema_extra=LIVE)
    branches: Distinct[Name] = Field(
        default=(),
        description="branches whose workflows may deploy, outside of environments; no pattern",
        json_schema_extra=LIVE,
    )
    environments: Distinct[Name] = Field(
        default=(),
        description="deployment environments whose jobs may deploy, after GitHub has asked the reviewers: the safer"
        " choice",
        json_schema_extra=LIVE,
    )
    preview: bool = Field(
        default=False,
        description="workflows of pull requests may read what is deployed, to show the difference. Everybody who can"
        " open one is behind it",
        json_schema_extra=LIVE,
    )
    provider: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z-]*:iam::\d{12}:oidc-provider/token\.actions\.githubusercontent\.com$",
        description="ARN of the account's identity provider for GitHub. An account has one at most: the first team"
        " makes it by leaving this out, the others name it",
        json_schema_extra=REPLACE,
    )
    qualifier: str = Field(
        default=DEFAULT_QUALIFIER,
        pattern=r"^[A-Za-z0-9_-]{1,10}$",
        description="qualifier that `cdk bootstrap` was run with: all stacks of the team are deployed through its"
        " roles. A qualifier of its own keeps the permissions of a team apart from those of others",
        json_schema_extra=LIVE,
    )
