"""What a team must not lose: its data and its checkpoints."""

from __future__ import annotations

from aws_cdk import Duration
from constructs import Construct

from paceline.catalog.fsx import lustre
from paceline.spec.names import PARAMETER_CHECKPOINT_BUCKET, PARAMETER_DATA_BUCKET, PARAMETER_FILE_SYSTEM_ID
from paceline_constructs.storage.access_log_bucket import AccessLogBucket
from paceline_constructs.storage.lustre_file_system import LustreFileSystem, LustreFileSystemProps
from paceline_constructs.storage.secure_bucket import SecureBucket, SecureBucketProps
from stacks.foundation import FoundationStack
from stacks.settings import Team
from stacks.team_stack import TeamStack


class StorageStack(TeamStack):
    """Stateful, hence apart: it outlives what computes on it."""

    def __init__(self, scope: Construct, construct_id: str, *, team: Team, foundation: FoundationStack) -> None:
        super().__init__(scope, construct_id, team=team, description="data and checkpoints")
        self.foundation = foundation
        self.access_logs = AccessLogBucket(
            self,
            "AccessLogs",
            retention=Duration.days(team.parameters.storage.access_log_days),
            removal_policy=self.removal_policy,
        )
        self.data = self._bucket("Data")
        self.checkpoints = self._bucket("Checkpoints")
        settings = team.parameters.storage.file_system
        self.file_system = LustreFileSystem(
            self,
            "Lustre",
            props=LustreFileSystemProps(
                rules=lustre(),
                vpc=foundation.network.vpc,
                subnet=foundation.network.subnets[settings.zone],
                clients=foundation.efa,
                encryption_key=foundation.key,
                bucket=self.data,
                bucket_prefix=settings.data_prefix,
                size_gib=settings.size_gib,
                mbps_per_tib=settings.mbps_per_tib,
                efa=settings.efa,
                removal_policy=self.removal_policy,
            ),
        )

        self.publish(PARAMETER_DATA_BUCKET, self.data.bucket_name)
        self.publish(PARAMETER_CHECKPOINT_BUCKET, self.checkpoints.bucket_name)
        self.publish(PARAMETER_FILE_SYSTEM_ID, self.file_system.file_system_id)

    def _bucket(self, name: str) -> SecureBucket:
        return SecureBucket(
            self,
            name,
            props=SecureBucketProps(
                encryption_key=self.foundation.key,
                access_logs=self.access_logs,
                access_logs_prefix=f"{name.lower()}/",
                noncurrent_retention=Duration.days(self.team.parameters.storage.noncurrent_days),
                removal_policy=self.removal_policy,
            ),
        )
