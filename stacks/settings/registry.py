"""A team's container images."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from paceline.spec.base import Record
from stacks.settings.lists import Distinct
from stacks.settings.update import LIVE

RepositoryName = Annotated[str, Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$")]


class Registry(Record):
    """Container images."""

    repositories: Distinct[RepositoryName] = Field(
        min_length=1, description="one repository each, named paceline/<team>/<name>", json_schema_extra=LIVE
    )
    keep_images: int = Field(default=50, ge=1, description="images per repository", json_schema_extra=LIVE)
