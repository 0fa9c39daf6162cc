"""Signatures of a team's images."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_signer as signer
from constructs import Construct


class ImageSigning(Construct):
    """Amazon ECR signs what is pushed to the repositories under `prefix`, with a profile of AWS Signer.

    A registry, that is an account in a region, has one such configuration: one team of it can have this. Who pushes
    needs the right to sign (`grant_sign`), and a push without it stays unsigned.
    """

    def __init__(self, scope: Construct, construct_id: str, *, prefix: str, removal_policy: RemovalPolicy) -> None:
        super().__init__(scope, construct_id)
        self.profile = signer.SigningProfile(self, "Profile", platform=signer.Platform.NOTATION_OCI_SHA384_ECDSA)
        # a profile that is gone is cancelled, and with it every signature that it made
        self.profile.apply_removal_policy(removal_policy)
        filters = [
            ecr.CfnSigningConfiguration.RepositoryFilterProperty(filter=f"{prefix}/*", filter_type="WILDCARD_MATCH")
        ]
        ecr.CfnSigningConfiguration(
            self,
            "Configuration",
            rules=[
                ecr.CfnSigningConfiguration.RuleProperty(
                    signing_profile_arn=self.profile.signing_profile_arn, repository_filters=filters
                )
            ],
        )

    def grant_sign(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let `grantee`'s pushes be signed. Source: ECR User Guide, managed-signing.html."""
        return iam.Grant.add_to_principal(
            grantee=grantee, actions=["signer:SignPayload"], resource_arns=[self.profile.signing_profile_arn]
        )
