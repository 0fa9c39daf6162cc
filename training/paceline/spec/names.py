"""Names that two rooms must agree on: tags, environment variables, parameter paths."""

from __future__ import annotations

TAG_TEAM = "paceline:team"
TAG_STACK = "paceline:stack"
TAG_VERSION = "paceline:version"
TAG_CAPACITY = "paceline:capacity"

# Labels of Kubernetes nodes.
LABEL_TEAM = "paceline.dev/team"
LABEL_ROLE = "paceline.dev/role"
LABEL_CAPACITY = "paceline.dev/capacity"
LABEL_ACCELERATOR = "paceline.dev/accelerator"
# Which switches a node hangs on, from the top (1) down. Written by kubernetes/cloud-provider-aws.
LABEL_NETWORK_LAYER = "topology.k8s.aws/network-node-layer-"
LABEL_ZONE_ID = "paceline.dev/zone-id"
ROLE_SYSTEM = "system"
ROLE_ACCELERATOR = "accelerator"

# What healer and agent write on a node, as JSON of spec.healing and spec.health. Each key has one writer.
ANNOTATION_CASE = "paceline.dev/case"  # the healer: a Case
ANNOTATION_ORDER = "paceline.dev/order"  # the healer: an Order
ANNOTATION_FINDINGS = "paceline.dev/findings"  # the agent: a list of Finding, those that did not pass
ANNOTATION_ANSWER = "paceline.dev/answer"  # the agent: the Answer to the last order

# Keeps jobs from a node that joined and has not passed its tests: nodes register with it.
TAINT_UNTESTED = "paceline.dev/untested"

# Taints that keep everything but jobs from accelerator nodes: key and value by family. The keys are those that the
# vendors' device plugins tolerate.
TAINTS = {"nvidia": ("nvidia.com/gpu", "present"), "neuron": ("aws.amazon.com/neuron", "present")}

# Environment of the controller's and agents' pods.
ENV_TEAM = "PACELINE_TEAM"
ENV_POD = "PACELINE_POD"
ENV_NODE = "PACELINE_NODE"

# In an image: the matrix of versions that it was built with.
ENV_MATRIX = "PACELINE_MATRIX"

# A condition of Kubernetes nodes, and the taint of those that should get no new work.
CONDITION_HEALTHY = "PacelineHealthy"
TAINT_UNHEALTHY = "paceline.dev/unhealthy"

# In a node's directory: where its supervisor hears its health agent (spec.health.Verdict, one a line).
HEALTH_SOCKET = "health.sock"

# In a run's journal: the folder of what its verdicts rest on.
EVIDENCE = "evidence"

# Environment of whoever starts a run in a container: the digest of its image, which the image itself cannot know.
ENV_IMAGE_DIGEST = "PACELINE_IMAGE_DIGEST"
# On a node of a cluster: where its agent looks for those sockets, and where the striped local disks are.
HEALTH_DIRECTORY = "/run/paceline"
SCRATCH_DIRECTORY = "/scratch"

# How long before its end, by time limit or preemption, a Slurm job is told: for the current step and a last checkpoint.
SLURM_NOTICE_SECONDS = 120

# Environment of every process of a run.
ENV_RUN_TOKEN = "PACELINE_RUN_TOKEN"

# Environment of workers: where Neuron's compiler keeps its graphs (aws-neuron-sdk, neuron-caching.rst).
ENV_COMPILE_CACHE = "NEURON_COMPILE_CACHE_URL"

# Environment of a node's supervisor: which nodes are lost together with it (a rack, a leaf switch, a zone).
ENV_FAILURE_DOMAIN = "PACELINE_FAILURE_DOMAIN"


def parameter_path(team: str, name: str) -> str:
    """The SSM parameter under which a stack publishes `name` for readers outside CloudFormation."""
    return f"/paceline/{team}/{name}"


# What the stacks of a team publish (see `parameter_path`).
PARAMETER_VPC_ID = "foundation/vpc-id"
PARAMETER_EFA_SECURITY_GROUP_ID = "foundation/efa-security-group-id"
PARAMETER_PLACEMENT_GROUP = "foundation/placement-group"
PARAMETER_DATA_BUCKET = "storage/data-bucket"
PARAMETER_CHECKPOINT_BUCKET = "storage/checkpoint-bucket"
PARAMETER_FILE_SYSTEM_ID = "storage/file-system-id"
PARAMETER_REPOSITORY_PREFIX = "registry/repository-prefix"
PARAMETER_EKS_CLUSTER = "eks/cluster-name"
PARAMETER_EKS_NODE_ROLE = "eks/node-role-arn"
PARAMETER_EKS_SOFTWARE_PROJECT = "eks/software-project"
PARAMETER_EKS_MIRROR_PROJECT = "eks/mirror-project"
PARAMETER_SLURM_CLUSTER_ID = "slurm/cluster-id"
PARAMETER_SLURM_HOMES = "slurm/homes"  # what a node mounts as /home
PARAMETER_SLURM_LUSTRE = "slurm/lustre"  # what a node mounts as /fsx
PARAMETER_HYPERPOD_CLUSTER_ARN = "hyperpod/cluster-arn"
PARAMETER_CRITICAL_TOPIC = "alerts/critical-topic"
PARAMETER_WARNING_TOPIC = "alerts/warning-topic"
PARAMETER_SESSION_DOCUMENT = "access/session-document"
PARAMETER_METRICS_ENDPOINT = "observability/metrics-endpoint"
PARAMETER_METRICS_WRITER = "observability/metrics-writer-role"
PARAMETER_GRAFANA_ENDPOINT = "observability/grafana-endpoint"
PARAMETER_RUN_ROLE = "governance/run-role"
PARAMETER_RESEARCHER_ROLE = "governance/researcher-role"
PARAMETER_OPERATOR_ROLE = "governance/operator-role"
PARAMETER_CONTROLLER_ROLE = "governance/controller-role"
PARAMETER_DEPLOYER_ROLE = "delivery/deployer-role"
PARAMETER_PREVIEW_ROLE = "delivery/preview-role"
PARAMETER_RECORD = "record/parameters-sha256"  # of the parameters that the team was last deployed from, whole

# Where paceline's own programs run.
SYSTEM_NAMESPACE = "paceline-system"

# Where they show their metrics, in a pod of their own. The number is OpenTelemetry's default for a Prometheus exporter.
METRICS_PORT = 9464

# Where the nodes of a test meet, on the one that is tested. Chosen: IANA has not assigned it.
MEETING_PORT = 9468

# Pods that have a role of their own, as (namespace, service account).
RUN_POD = ("paceline-runs", "paceline-run")
PROMETHEUS_POD = ("paceline-observability", "prometheus")
GRAFANA_POD = ("paceline-observability", "grafana")
CONTROLLER_POD = (SYSTEM_NAMESPACE, "paceline-controller")


def parameter_capacity(source: str) -> str:
    """What a capacity source publishes: a spec.capacity.CapacityRecord."""
    return f"capacity/{source}"
