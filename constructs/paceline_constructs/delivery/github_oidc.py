"""GitHub Actions as a principal: no key is stored anywhere."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_iam as iam
from constructs import Construct

HOST = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"


class GithubOidcProvider(iam.OidcProviderNative):
    """GitHub's token issuer as an identity provider. An account has one at most: its URL is its identity."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id, url=f"https://{HOST}", client_ids=[AUDIENCE])


def workflows(provider_arn: str, subjects: Sequence[str]) -> iam.IPrincipal:
    """The workflow runs whose token's subject is one of `subjects`, as `branch`, `environment` or `pull_requests` make
    them. Nothing is matched by pattern: `StringLike` with a careless star has let whole organizations in."""
    return iam.WebIdentityPrincipal(
        provider_arn,
        {"StringEquals": {f"{HOST}:aud": AUDIENCE, f"{HOST}:sub": list(subjects)}},
    )


def branch(repository: str, name: str) -> str:
    """The subject of a run on a branch, outside of an environment."""
    return f"repo:{repository}:ref:refs/heads/{name}"


def environment(repository: str, name: str) -> str:
    """The subject of a job in a deployment environment, where GitHub asks the reviewers first."""
    return f"repo:{repository}:environment:{name}"


def pull_requests(repository: str) -> str:
    """The subject of a run for a pull request. Everybody who can open one is behind it."""
    return f"repo:{repository}:pull_request"
