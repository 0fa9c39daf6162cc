"""Which fleets there are, and how each is reached: one line a fleet."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from paceline.clients import ec2, hyperpod
from paceline.clients.kubernetes import RestKubernetes
from paceline.clients.slurm import SlurmCommands
from paceline.heal.fleets.base import Fleet, Machines
from paceline.heal.fleets.ec2 import Ec2Fleet
from paceline.heal.fleets.hyperpod import HyperPodFleet
from paceline.heal.fleets.kubernetes import KubernetesFleet
from paceline.heal.fleets.local import LocalFleet
from paceline.heal.fleets.slurm import SlurmFleet
from paceline.heal.fleets.where import FleetKind, Provider, Where
from paceline.heal.lease import KubernetesLease, Lease, OwnLease
from paceline.heal.policy import Policy
from paceline.spec.errors import PacelineError
from paceline.spec.names import ENV_POD

_LEASE_SECONDS = 30
_EC2_SECONDS = 60.0  # as often as ParallelCluster asks (aws-parallelcluster-node clustermgtd.py)


def open_fleet(where: Where, policy: Policy) -> tuple[Fleet, Lease]:
    """The fleet, and the right to act on it. PacelineError when something that it needs was not given."""
    return _FLEETS[where.kind](where, policy)


def _kubernetes(where: Where, policy: Policy) -> tuple[Fleet, Lease]:
    api = RestKubernetes.connect(where.api)
    holder = os.environ.get(ENV_POD) or f"{os.uname().nodename}-{os.getpid()}"
    lease = KubernetesLease(api, holder=holder, seconds=_LEASE_SECONDS, clock=time.monotonic)
    machines = _machines(where)
    fleet = KubernetesFleet(api, team=where.team, machines=machines)
    return _rented(fleet, where, machines), lease


def _slurm(where: Where, policy: Policy) -> tuple[Fleet, Lease]:
    machines = _machines(where)
    minutes = round(policy.test_within / 60)
    fleet = SlurmFleet(SlurmCommands(), machines=machines, test_minutes=minutes)
    return _rented(fleet, where, machines), OwnLease()


def _local(where: Where, policy: Policy) -> tuple[Fleet, Lease]:
    if where.root is None:
        raise PacelineError("a local fleet needs its directory", "give --root DIR")
    return LocalFleet(where.root), OwnLease()


def _machines(where: Where) -> Machines | None:
    if where.provider is Provider.EC2:
        return ec2.Ec2Machines(ec2.client(where.region))
    if where.provider is Provider.HYPERPOD:
        if where.cluster is None:
            raise PacelineError("HyperPod has several clusters", "give --cluster NAME")
        return hyperpod.HyperPodMachines(hyperpod.client(where.region), where.cluster)
    return None


def _rented(fleet: Fleet, where: Where, machines: Machines | None) -> Fleet:
    if isinstance(machines, ec2.Ec2Machines):
        return Ec2Fleet(fleet, machines, period=_EC2_SECONDS, clock=time.monotonic)
    return HyperPodFleet(fleet, machines) if where.provider is Provider.HYPERPOD and machines else fleet


_FLEETS: dict[FleetKind, Callable[[Where, Policy], tuple[Fleet, Lease]]] = {
    FleetKind.KUBERNETES: _kubernetes,
    FleetKind.SLURM: _slurm,
    FleetKind.LOCAL: _local,
}
