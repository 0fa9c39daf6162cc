"""In which order a team is taken down. What CloudFormation did not make goes first, or it blocks what it made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from paceline.spec.deployment import DeployedStack, Deployment
from paceline.spec.errors import ParameterError, Problem
from stacks.change.templates import Template
from stacks.settings import Parameters, Team

By = Literal["you", "paceline"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing to do. What is done by `you` is out of paceline's reach, and has a command."""

    title: str
    why: str
    by: By
    command: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What is left afterwards, what it goes on to cost, and the command that ends that (None: nothing does)."""

    what: str
    costs: str
    command: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """`stacks` are CloudFormation's names, the first to be deleted first."""

    steps: tuple[Step, ...]
    stacks: tuple[str, ...]
    kept: tuple[Kept, ...]


def plan(team: Team, templates: Mapping[str, Template], deployment: Deployment | None = None) -> Plan:
    """Take down `team`, whose `templates` are given by stack id in the order of deployment.

    With a `deployment` the plan is about what is there, which may be less than the file says, or more. ParameterError
    when the team is protected: its stacks refuse to be deleted, and that is what they were deployed for.
    """
    refuse_protected(team, deployment)
    order = [f"{team.name}-{stack}" for stack in templates]
    there = deployment.stacks if deployment else ()
    names = {stack.name for stack in there}
    stacks = [name for name in order if deployment is None or name in names]
    strangers = [stack.name for stack in there if stack.name not in order]
    steps = [*_workloads(team.parameters), *_strangers(strangers), *_leftovers(), *map(_stack, reversed(stacks))]
    kept = [*_retained(there), *_paid_elsewhere(team.parameters)]
    return Plan(steps=tuple(steps), stacks=tuple(reversed(stacks)), kept=tuple(kept))


def refuse_protected(team: Team, deployment: Deployment | None = None) -> None:
    """ParameterError when the file protects the team, or a stack of it is protected in the account."""
    if team.parameters.lifecycle == "retained":
        raise ParameterError(
            f"{team.name}: lifecycle is retained: its stacks are protected against deletion",
            "write `lifecycle: disposable`, deploy, and tear down then",
        )
    guarded = [stack.name for stack in deployment.stacks if stack.protected] if deployment else []
    if guarded:
        reason = "protected against deletion: it was deployed when lifecycle was retained"
        hint = f"deploy the file as it is now (`cdk deploy '{team.name}/*'`), and tear down then"
        raise ParameterError.of([Problem(message=f"{name}: {reason}", hint=hint) for name in guarded])


def _workloads(parameters: Parameters) -> Iterator[Step]:
    served = {source.serves for source in parameters.capacity.values()}
    if parameters.eks:
        yield Step(
            title="end the workloads on EKS",
            why="jobs that run would be killed, and their controllers would start new ones",
            by="you",
            command="kubectl delete jobs,jobsets,deployments,statefulsets --all --all-namespaces --selector"
            " app.kubernetes.io/part-of!=paceline",
        )
        yield Step(
            title="delete the volumes that pods asked for",
            why="a volume of a claim outlives its cluster and is paid for",
            by="you",
            command="kubectl delete pvc --all --all-namespaces",
        )
        yield Step(
            title="delete the load balancers that services asked for",
            why="their network interfaces keep the VPC from being deleted",
            by="you",
            command="kubectl delete services --all-namespaces --field-selector spec.type=LoadBalancer",
        )
    if "slurm" in served or (parameters.hyperpod and parameters.hyperpod.orchestrator == "slurm"):
        yield Step(
            title="end the jobs on Slurm",
            why="jobs that run would be killed without a checkpoint",
            by="you",
            command="scancel --signal=TERM --full --state=RUNNING && scancel --state=PENDING",
        )


def _strangers(names: Sequence[str]) -> Iterator[Step]:
    for name in names:
        yield Step(
            title=f"delete the stack {name}",
            why="the team's file makes it no more, so that the CDK CLI does not know it",
            by="you",
            command=f"aws cloudformation delete-stack --stack-name {name}",
        )


def _leftovers() -> Iterator[Step]:
    yield Step(
        title="empty the buckets, of old versions too",
        why="CloudFormation does not delete a bucket that holds objects",
        by="paceline",
    )
    yield Step(
        title="delete network interfaces that belong to nothing any more",
        why="one that stays behind keeps its subnet and security groups, and the deletion fails after an hour",
        by="paceline",
    )


def _stack(name: str) -> Step:
    return Step(title=f"delete the stack {name}", why="nothing deployed reads from it any more", by="paceline")


def _retained(stacks: Sequence[DeployedStack]) -> Iterator[Kept]:
    for stack in stacks:
        for name, resource in stack.template.get("Resources", {}).items():
            if resource.get("DeletionPolicy", "Delete") == "Delete" or name not in stack.resources:
                continue
            kind, physical = resource["Type"], stack.resources[name]
            row = _kinds().get(kind, {"costs": "unknown", "command": None})
            command = row["command"].format(id=physical) if row["command"] else None
            yield Kept(what=f"{kind} {physical}", costs=row["costs"], command=command)


def _paid_elsewhere(parameters: Parameters) -> Iterator[Kept]:
    """Capacity that this team uses and did not make."""
    for name, source in parameters.capacity.items():
        purchase = source.purchase
        if purchase.kind == "odcr-attached":
            cancel = f"aws ec2 cancel-capacity-reservation --capacity-reservation-id {purchase.reservation}"
            yield Kept(what=f"{purchase.reservation} ({name})", costs="per hour, used or not", command=cancel)
        elif purchase.kind in ("capacity-block", "ultraserver-block", "training-plan"):
            what = purchase.arn if purchase.kind == "training-plan" else purchase.reservation
            yield Kept(what=f"{what} ({name})", costs=f"paid in advance until {purchase.ends:%Y-%m-%d}", command=None)


@cache
def _kinds() -> dict[str, Any]:
    text = Path(__file__).with_name("kept.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))
