"""Teams with a cluster, as the shipped ones have it: read their stages, never add to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stacks.team_stage import TeamStage

AMI = "ami-0123456789abcde"

SLURM: dict[str, Any] = {
    "zone": "use1-az1",
    "version": "25.11",
    "size": "MEDIUM",
    "images": {"cpu": f"{AMI}f0", "nvidia": f"{AMI}f1", "neuron": f"{AMI}f2"},
    "homes": {"zone": "use1-az2", "size_gib": 1024, "mbps": 320},
    "login": {"zone": "use1-az2", "nodes": 2},
    "accounting": {"keep_days": 730},
    "settings": {"SelectTypeParameters": "CR_CPU_Memory"},
    "agent_digest": f"sha256:{'0' * 64}",
}
HYPERPOD: dict[str, Any] = {
    "orchestrator": "slurm",
    "zone": "use1-az1",
    "groups": {"controller": {"role": "controller", "instance_type": "m5.4xlarge", "zone": "use1-az1"}},
}


def source(serves: str, **changes: Any) -> dict[str, Any]:
    on_demand = {"instance_type": "p5.48xlarge", "zone": "use1-az2", "nodes": 4, "purchase": {"kind": "on-demand"}}
    return {"serves": serves, **on_demand, **changes}


PLAN = {
    "kind": "training-plan",
    "arn": "arn:aws:sagemaker:us-east-1:123456789012:training-plan/large",
    "instances": 4,
    "ends": "2026-12-01T11:30:00Z",
}

Make = Callable[..., "TeamStage"]


@pytest.fixture(scope="session")
def make_team(sandbox: TeamStage, cdk_flags: dict[str, Any]) -> Make:
    """The sandbox team with other parameters."""
    from aws_cdk import App

    from stacks.settings import Parameters, Team
    from stacks.team_stage import TeamStage

    def make(**changes: Any) -> TeamStage:
        data = sandbox.foundation.team.parameters.model_dump(mode="json") | changes
        app = App(context=cdk_flags, builtin_cloud_formation_validation=False)
        return TeamStage(app, team=Team(name="other", parameters=Parameters.model_validate(data)))

    return make


@pytest.fixture(scope="session")
def slurm_team(make_team: Make) -> TeamStage:
    capacity = {
        "p5": source("slurm", min_nodes=1),
        "spot": source("slurm", instance_type="trn1.32xlarge", purchase={"kind": "spot"}),
    }
    return make_team(slurm=SLURM, capacity=capacity)


@pytest.fixture(scope="session")
def hyperpod_team(make_team: Make) -> TeamStage:
    capacity = {"plan": source("hyperpod", purchase=PLAN), "spot": source("hyperpod", purchase={"kind": "spot"})}
    return make_team(hyperpod=HYPERPOD, capacity=capacity)
