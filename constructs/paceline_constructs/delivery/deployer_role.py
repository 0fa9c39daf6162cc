"""Who may run `cdk deploy`, and with how little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from paceline_constructs.guardrails.compliance import acknowledge, acknowledge_wildcard

# The roles that `cdk bootstrap` makes (aws-cdk lib/api/bootstrap/bootstrap-template.yaml). CloudFormation's own rights
# are those of a fifth one, cfn-exec-role, which no deployer may take: it is passed on by the deploy role.
BootstrapRole = Literal["deploy", "file-publishing", "image-publishing", "lookup"]
DEPLOY: Sequence[BootstrapRole] = ("deploy", "file-publishing", "image-publishing", "lookup")
LOOK: Sequence[BootstrapRole] = ("lookup",)


class DeployerRole(iam.Role):
    """A role that begins with no right but to take bootstrap roles: DEPLOY to deploy, LOOK to see differences.

    A session lasts an hour. What CloudFormation then makes is bounded by the permission boundary of the stage.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        trusted: iam.IPrincipal,
        roles: Sequence[BootstrapRole],
        qualifier: str,
        description: str,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            assumed_by=trusted,
            description=description,
            max_session_duration=Duration.hours(1),
        )
        stack = Stack.of(self)
        suffix = f"{stack.account}-{stack.region}"
        self.add_to_policy(
            iam.PolicyStatement(
                actions=["sts:AssumeRole"],
                resources=[
                    stack.format_arn(
                        service="iam", region="", resource="role", resource_name=f"cdk-{qualifier}-{role}-role-{suffix}"
                    )
                    for role in roles
                ],
            )
        )

    def grant_read_stacks(self, team: str) -> None:
        """Let it see what of `team` is deployed: what `paceline team diff --against deployed` asks for."""
        stack = Stack.of(self)
        stacks = stack.format_arn(service="cloudformation", resource="stack", resource_name=f"{team}-*/*")
        acknowledge_wildcard(self, stacks, "the team's stacks, by the beginning of their names")
        acknowledge(self, "IAM5[Resource::*]", "CloudFormation lists stacks of an account or none")
        actions = ["cloudformation:GetTemplate", "cloudformation:ListStackResources"]
        self.add_to_policy(iam.PolicyStatement(actions=actions, resources=[stacks]))
        self.add_to_policy(iam.PolicyStatement(actions=["cloudformation:DescribeStacks"], resources=["*"]))
