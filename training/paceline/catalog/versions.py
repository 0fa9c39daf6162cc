"""Versions of Kubernetes on EKS, how long they are supported, and the image a node gets (versions.yaml)."""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from typing import Literal

from pydantic import Field

from paceline.catalog.instance_types import Family
from paceline.catalog.tables import read_table
from paceline.spec.base import Record

# a g after the generation's number: c7g, m8gd, im4gn
_GRAVITON = re.compile(r"[a-z]+\d+g")


class Version(Record):
    """One version. A date that is None was not found."""

    version: str
    released: date | None
    standard_support_ends: date | None
    support_ends: date | None
    sources: tuple[str, ...] = Field(min_length=1)


class EksImage(Record):
    """The image type of EKS for nodes with that accelerator (None: without any) and that processor. `published` is its
    part of the SSM parameters that name the newest one."""

    accelerator: Family | None
    cpu_arch: Literal["x86_64", "arm64"]
    ami_type: str
    published: str
    sources: tuple[str, ...] = Field(min_length=1)


class Versions(Record):
    """All tables, oldest version first."""

    sources: dict[str, str]
    eks: tuple[Version, ...]
    eks_parameter: str
    eks_images: tuple[EksImage, ...]


@cache
def versions() -> Versions:
    """The tables of versions.yaml."""
    return Versions.model_validate(read_table("versions"))


def eks_image_type(family: Family | None, cpu_arch: Literal["x86_64", "arm64"]) -> str | None:
    """The image type of EKS for such a node, or None when EKS keeps no image for it."""
    rows = versions().eks_images
    return next((row.ami_type for row in rows if (row.accelerator, row.cpu_arch) == (family, cpu_arch)), None)


def system_image_type(instance_type: str) -> str | None:
    """The image type of EKS for a node without accelerators."""
    return eks_image_type(None, "arm64" if _GRAVITON.match(instance_type) else "x86_64")
