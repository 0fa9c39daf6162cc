"""Names that two rooms must agree on: tags, environment variables, parameter paths."""

from __future__ import annotations

TAG_TEAM = "paceline:team"
TAG_STACK = "paceline:stack"
TAG_VERSION = "paceline:version"
TAG_CAPACITY = "paceline:capacity"

# Environment of every process of a run.
ENV_RUN_TOKEN = "PACELINE_RUN_TOKEN"


def parameter_path(team: str, name: str) -> str:
    """The SSM parameter under which a stack publishes `name` for readers outside CloudFormation."""
    return f"/paceline/{team}/{name}"


# What the stacks of a team publish (see `parameter_path`).
PARAMETER_VPC_ID = "foundation/vpc-id"
PARAMETER_EFA_SECURITY_GROUP_ID = "foundation/efa-security-group-id"
PARAMETER_DATA_BUCKET = "storage/data-bucket"
PARAMETER_CHECKPOINT_BUCKET = "storage/checkpoint-bucket"
PARAMETER_FILE_SYSTEM_ID = "storage/file-system-id"
PARAMETER_REPOSITORY_PREFIX = "registry/repository-prefix"
PARAMETER_SLURM_CLUSTER_ID = "slurm/cluster-id"
PARAMETER_SLURM_HOMES = "slurm/homes"  # what a node mounts as /home
PARAMETER_SLURM_LUSTRE = "slurm/lustre"  # what a node mounts as /fsx
PARAMETER_HYPERPOD_CLUSTER_ARN = "hyperpod/cluster-arn"


def parameter_capacity(source: str) -> str:
    """What a capacity source publishes: a spec.capacity.CapacityRecord."""
    return f"capacity/{source}"
