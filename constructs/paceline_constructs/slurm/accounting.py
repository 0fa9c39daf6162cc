"""Slurm's database of jobs."""

from __future__ import annotations

from aws_cdk import aws_pcs as pcs

# PCS: -1 keeps records for ever
_FOR_EVER = -1


def accounting(*, with_accounting: bool, keep_days: int | None) -> pcs.CfnCluster.AccountingProperty:
    """What a cluster does about accounting. PCS runs slurmdbd and its database, at a price per hour."""
    if not with_accounting:
        return pcs.CfnCluster.AccountingProperty(mode="NONE")
    days = _FOR_EVER if keep_days is None else keep_days
    return pcs.CfnCluster.AccountingProperty(mode="STANDARD", default_purge_time_in_days=days)
