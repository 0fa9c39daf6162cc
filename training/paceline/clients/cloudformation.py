"""What CloudFormation has deployed of a team."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from paceline.clients import aws
from paceline.spec.deployment import DeployedStack, Deployment

if TYPE_CHECKING:
    from botocore.client import BaseClient

_EMPTY = "REVIEW_IN_PROGRESS"  # a change set that was never executed: the stack holds nothing


def client(region: str) -> BaseClient:
    """A CloudFormation client."""
    cloudformation: BaseClient = aws.client("cloudformation", region)
    return cloudformation


def deployment(
    cloudformation: Any,
    team: str,
    *,
    account: str,
    region: str,
    on_stack: Callable[[str], None] = lambda name: None,
) -> Deployment:
    """The stacks `<team>-<Id>` with their templates; `on_stack` hears of each one that is read.

    An id begins with a capital letter and a team's name has none: `vision-2-Storage` is not a stack of vision.
    """
    with aws.translated("cloudformation", "cloudformation:DescribeStacks"):
        pages = cloudformation.get_paginator("describe_stacks").paginate()
        found = [stack for page in pages for stack in page["Stacks"]]
    its_name = re.compile(rf"{re.escape(team)}-[A-Z]")
    mine = [stack for stack in found if its_name.match(stack["StackName"]) and stack["StackStatus"] != _EMPTY]
    stacks = []
    for stack in sorted(mine, key=lambda stack: stack["CreationTime"]):
        on_stack(stack["StackName"])
        stacks.append(_read(cloudformation, stack))
    return Deployment(team=team, account=account, region=region, stacks=tuple(stacks))


def _read(cloudformation: Any, stack: dict[str, Any]) -> DeployedStack:
    name = stack["StackName"]
    with aws.translated("cloudformation", "cloudformation:GetTemplate and cloudformation:ListStackResources"):
        template = cloudformation.get_template(StackName=name, TemplateStage="Original")["TemplateBody"]
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
        resources = [item for page in pages for item in page["StackResourceSummaries"]]
    return DeployedStack(
        name=name,
        status=stack["StackStatus"],
        changed=stack.get("LastUpdatedTime") or stack["CreationTime"],
        protected=bool(stack.get("EnableTerminationProtection")),
        template=template,
        resources={
            item["LogicalResourceId"]: item["PhysicalResourceId"]
            for item in resources
            if item["ResourceStatus"] != "DELETE_COMPLETE" and "PhysicalResourceId" in item
        },
    )
