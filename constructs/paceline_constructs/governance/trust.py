"""Who may take a role."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Arn, ArnFormat
from aws_cdk import aws_iam as iam


def trusted_roles(patterns: Sequence[str]) -> iam.IPrincipal:
    """The roles whose ARN is one of `patterns`, where a `*` matches any text.

    The principal is the account, the pattern a condition: a role that is deleted and made anew stays trusted, and the
    roles of IAM Identity Center, whose names end in a random suffix, can be named at all.
    """
    accounts: dict[str, list[str]] = {}
    for pattern in patterns:
        account = Arn.split(pattern, ArnFormat.SLASH_RESOURCE_NAME).account
        assert account is not None
        accounts.setdefault(account, []).append(pattern)
    return iam.CompositePrincipal(
        *(
            iam.PrincipalWithConditions(iam.AccountPrincipal(account), {"ArnLike": {"aws:PrincipalArn": sorted(mine)}})
            for account, mine in sorted(accounts.items())
        )
    )
