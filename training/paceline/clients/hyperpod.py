"""What SageMaker HyperPod does to the machines of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paceline.spec.errors import ClusterError
from paceline.spec.health import Action

if TYPE_CHECKING:
    from botocore.client import BaseClient


class HyperPodMachines:
    """The machines of HyperPod cluster `cluster`, by instance id. Credentials, region and endpoint come from the
    standard AWS environment."""

    capabilities = frozenset((Action.REBOOT, Action.REPLACE))

    def __init__(self, sagemaker: BaseClient, cluster: str) -> None:
        self._sagemaker = sagemaker
        self._cluster = cluster

    def reboot(self, machine: str) -> None:
        self._call("batch_reboot_cluster_nodes", machine)

    def replace(self, machine: str) -> None:
        self._call("batch_replace_cluster_nodes", machine)

    def resize(self, nodes: int) -> bool:
        return False  # the sizes of instance groups are the team's file's

    def _call(self, operation: str, machine: str) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        hint = f"check the credentials, the region and the permission for {operation}"
        try:
            answer = getattr(self._sagemaker, operation)(ClusterName=self._cluster, NodeIds=[machine])
        except (BotoCoreError, ClientError) as cause:
            raise ClusterError(f"HyperPod refused {machine}: {cause}", hint) from cause
        for failure in answer.get("Failed", []):
            if failure["ErrorCode"] != "InstanceIdNotFound":  # it was given back already
                raise ClusterError(f"HyperPod refused {machine}: {failure['ErrorCode']}: {failure['Message']}", hint)


def client(region: str | None) -> BaseClient:
    """A SageMaker client. ClusterError without a region."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import NoRegionError

    config = Config(retries={"max_attempts": 5, "mode": "standard"}, connect_timeout=5, read_timeout=30)
    try:
        sagemaker: BaseClient = boto3.client("sagemaker", region_name=region, config=config)
    except NoRegionError as cause:
        raise ClusterError("no AWS region is set", "give --region, or set AWS_REGION") from cause
    return sagemaker
