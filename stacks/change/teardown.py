"""In which order a team is taken down. What CloudFormation did not make goes first, or it blocks what it made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from paceline.spec.errors import ParameterError
from stacks.settings import Parameters, Team


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing to do. `command` is for the person who has access to the cluster; None where a stack is deleted."""

    title: str
    why: str
    command: str | None = None
    stack: str | None = None


def plan(team: Team, stacks: list[str]) -> tuple[Step, ...]:
    """The steps for `team`, whose stack ids are given in the order of deployment.

    ParameterError when the team is protected: its stacks refuse to be deleted, and that is what it was deployed for.
    """
    if team.parameters.lifecycle == "retained":
        raise ParameterError(
            f"{team.name}: lifecycle is retained: its stacks are protected against deletion",
            "write `lifecycle: disposable`, deploy, and tear down then",
        )
    first = [*_workloads(team.parameters), *_leftovers(team.name)]
    return (*first, *(_stack(team.name, stack) for stack in reversed(stacks)))


def _workloads(parameters: Parameters) -> Iterator[Step]:
    served = {source.serves for source in parameters.capacity.values()}
    if "eks" in served:
        yield Step(
            title="end the workloads on EKS",
            why="jobs that run would be killed, and their controllers would start new ones",
            command="kubectl delete jobs,jobsets,deployments,statefulsets --all --all-namespaces --selector"
            " app.kubernetes.io/part-of!=paceline",
        )
        yield Step(
            title="delete the volumes that pods asked for",
            why="a volume of a claim outlives its cluster and is paid for",
            command="kubectl delete pvc --all --all-namespaces",
        )
        yield Step(
            title="delete the load balancers that services asked for",
            why="their network interfaces keep the VPC from being deleted",
            command="kubectl delete services --all-namespaces --field-selector spec.type=LoadBalancer",
        )
    if "slurm" in served:
        yield Step(
            title="end the jobs on Slurm",
            why="jobs that run would be killed without a checkpoint",
            command="scancel --signal=TERM --full --state=RUNNING && scancel --state=PENDING",
        )


def _leftovers(team: str) -> Iterator[Step]:
    yield Step(
        title="empty the buckets",
        why="CloudFormation does not delete a bucket that holds objects",
        command=f"aws s3 rm --recursive s3://$(aws ssm get-parameter --name /paceline/{team}/storage/data-bucket"
        " --query Parameter.Value --output text)",
    )
    yield Step(
        title="wait until no network interface is left that a stack did not make",
        why="one that stays behind keeps its subnet and security groups, and the deletion fails after an hour",
        command="aws ec2 describe-network-interfaces --filters Name=status,Values=available Name=vpc-id,Values="
        f"$(aws ssm get-parameter --name /paceline/{team}/foundation/vpc-id --query Parameter.Value --output text)",
    )


def _stack(team: str, stack: str) -> Step:
    return Step(title=f"delete the stack {team}-{stack}", why="nothing deployed reads from it any more", stack=stack)
