"""What is wrong with a HyperPod cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from paceline.catalog.hyperpod import PREFIX, hyperpod
from paceline.catalog.instance_types import instance_types
from paceline.spec.documents import Document, nearest
from paceline.spec.errors import Problem
from stacks.settings import Team
from stacks.settings.capacity import CapacitySources
from stacks.settings.hyperpod import HyperPod
from stacks.validators.problems import At


def problems(team: Team, document: Document) -> Iterator[Problem]:
    """Problems of one team's HyperPod cluster."""
    parameters = team.parameters
    sources = {name: source for name, source in parameters.capacity.items() if source.serves == "hyperpod"}
    settings, at = parameters.hyperpod, At(document, ("hyperpod",))
    if settings is None:
        for name in sources:
            reason, hint = "the team has no hyperpod section", "describe the cluster in `hyperpod:`"
            yield At(document, ("capacity", name)).problem(("serves",), reason, hint)
        return
    yield from _groups(settings, sources, at)
    yield from _roles(settings, at)
    yield from _sources(settings, sources, document)
    yield from _eks_only(settings, at)
    yield from _quotas(settings, sources, at)
    prefix = hyperpod().scripts_bucket_prefix
    if settings.scripts and not settings.scripts.removeprefix("s3://").startswith(prefix):
        reason = f"HyperPod reads scripts only from buckets whose name starts with `{prefix}`"
        yield at.problem(("scripts",), reason, "copy the scripts to such a bucket, or leave the field out")


def _groups(settings: HyperPod, sources: CapacitySources, at: At) -> Iterator[Problem]:
    rules = hyperpod()
    count = len(settings.groups) + len(sources)
    if count > rules.max_groups:
        reason = f"HyperPod has {rules.max_groups} instance groups per cluster, not {count}"
        yield at.problem(("groups",), reason, "put groups of one type together")
    if not count:
        yield at.problem((), "the cluster has no nodes", "name a capacity source that serves hyperpod")
    for name, group in settings.groups.items():
        path = ("groups", name)
        if name in sources:
            reason = "a capacity source that serves hyperpod has the same name"
            yield at.problem(path, reason, "call one of the two otherwise")
        plain = group.instance_type.removeprefix(PREFIX)
        if plain != group.instance_type:
            yield at.problem((*path, "instance_type"), f"{group.instance_type} is SageMaker's name", f"write {plain}")
        elif plain in instance_types():
            reason = f"{plain} has accelerators"
            yield at.problem((*path, "instance_type"), reason, "describe it in `capacity:`, with how it is bought")
        elif not rules.has(plain):
            hint = nearest(plain, list(rules.hosts))
            yield at.problem((*path, "instance_type"), f"HyperPod runs no {plain}", hint)
        if group.nodes > rules.max_nodes_per_group:
            reason = f"an instance group has at most {rules.max_nodes_per_group} nodes"
            yield at.problem((*path, "nodes"), reason, "lower it, or make a second group")


def _roles(settings: HyperPod, at: At) -> Iterator[Problem]:
    if settings.orchestrator == "eks":
        if at.document.data.get("eks") is None:
            yield at.problem(("orchestrator",), "the team has no eks section", "describe the cluster in `eks:`")
        for name, group in settings.groups.items():
            if group.role != "worker":
                reason = f"EKS has no {group.role} nodes in the cluster"
                yield at.problem(("groups", name, "role"), reason, "make it `worker`, or remove the group")
        return
    for name, group in settings.groups.items():
        if group.role == "worker":
            reason = "with Slurm nodes without accelerators are controller or login"
            yield at.problem(("groups", name, "role"), reason, "choose one of the two")
        if group.role == "controller" and group.nodes != 1:
            reason = f"Slurm has one controller, not {group.nodes}"
            yield at.problem(("groups", name, "nodes"), reason, "set nodes to 1")
    controllers = [name for name, group in settings.groups.items() if group.role == "controller"]
    if not controllers:
        hint = "add a group with `role: controller` and a node"
        yield at.problem(("groups",), "Slurm needs a group for its controller", hint)
    for name in controllers[1:]:
        reason = f"{controllers[0]} is the controller's group already"
        yield at.problem(("groups", name, "role"), reason, "make it login, or remove the group")


def _sources(settings: HyperPod, sources: CapacitySources, document: Document) -> Iterator[Problem]:
    rules = hyperpod()
    for name, source in sources.items():
        at = At(document, ("capacity", name))
        row = instance_types().get(source.instance_type)
        if row is None:
            continue  # validators/capacity.py
        if source.volume_gib > rules.max_volume_gib:
            reason = f"HyperPod's volumes have at most {rules.max_volume_gib} GiB"
            yield at.problem(("volume_gib",), reason, "lower it; data belongs into the file system")
        if source.nodes > rules.max_nodes_per_group:
            reason = f"an instance group has at most {rules.max_nodes_per_group} nodes"
            yield at.problem(("nodes",), reason, "split the source in two")
        if row.cpu_arch == "arm64" and settings.threads_per_core != 1:
            reason = f"the processors of {row.instance_type} have one thread per core"
            yield At(document, ("hyperpod",)).problem(("threads_per_core",), reason, "set it to 1")


def _eks_only(settings: HyperPod, at: At) -> Iterator[Problem]:
    if settings.orchestrator == "eks":
        return
    for field in ("tiered_storage_percent", "governance"):
        if getattr(settings, field) is not None:
            yield at.problem((field,), "HyperPod offers it with EKS only", "remove it, or choose `orchestrator: eks`")


def _quotas(settings: HyperPod, sources: CapacitySources, at: At) -> Iterator[Problem]:
    if settings.governance is None:
        return
    given: Counter[str] = Counter()
    for name, quota in settings.governance.quotas.items():
        path = ("governance", "quotas", name)
        for source, count in quota.instances.items():
            if source not in sources:
                reason = f"{source} is not a capacity source that serves hyperpod"
                yield at.problem((*path, "instances", source), reason, nearest(source, list(sources)))
                continue
            given[source] += count
            if given[source] > (nodes := sources[source].nodes):
                reason = f"quotas give away {given[source]} nodes of {source}, which has {nodes}"
                yield at.problem((*path, "instances", source), reason, "lower a quota; idle nodes can be borrowed")
        if quota.borrow_percent is not None and quota.sharing != "lend-and-borrow":
            reason = f"with sharing {quota.sharing} nothing is borrowed"
            yield at.problem((*path, "borrow_percent"), reason, "remove it, or choose lend-and-borrow")
