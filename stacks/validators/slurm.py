"""What is wrong with a Slurm cluster."""

from __future__ import annotations

from collections.abc import Iterator

from paceline.catalog.instance_types import instance_types
from paceline.catalog.slurm import ImageKind, image_kind, pcs
from paceline.spec.documents import Document, nearest
from paceline.spec.errors import Problem
from paceline_constructs.slurm.accounts import TAKEN
from paceline_constructs.slurm.settings import own_settings
from stacks.settings import Team
from stacks.settings.capacity import CapacitySources
from stacks.settings.slurm import Slurm
from stacks.validators.problems import At

# a node in a closed VPC registers, opens sessions, reads parameters, encrypts and pulls through these
_ENDPOINTS = ("pcs", "ssm", "ssmmessages", "ec2messages", "kms", "ecr.api", "ecr.dkr")

# what PCS gives to its own node group
_LOGIN = "login"


def problems(team: Team, document: Document) -> Iterator[Problem]:
    """Problems of one team's Slurm cluster."""
    parameters = team.parameters
    sources = {name: source for name, source in parameters.capacity.items() if source.serves == "slurm"}
    settings = parameters.slurm
    if settings is None:
        for name in sources:
            at = At(document, ("capacity", name))
            yield at.problem(("serves",), "the team has no slurm section", "describe the cluster in `slurm:`")
        return
    at = At(document, ("slurm",))
    missing = [name for name in _ENDPOINTS if name not in parameters.network.interface_endpoints]
    if missing:
        yield At(document, ("network",)).problem(
            ("interface_endpoints",),
            f"nodes of the Slurm cluster do not come up without {', '.join(missing)}",
            f"add {', '.join(missing)}: the VPC has no other way to AWS",
        )
    yield from _limits(settings, sources, at)
    yield from _settings(settings, at)
    yield from _accounts(settings, sources, at)
    yield from _images(team, settings, sources, at)
    yield from _sources(sources, document)


def _limits(settings: Slurm, sources: CapacitySources, at: At) -> Iterator[Problem]:
    rules = pcs()
    nodes = settings.login.nodes + sum(source.nodes for source in sources.values())
    size = rules.size(settings.size)
    if nodes > size.nodes:
        fitting = next((each.name for each in rules.sizes if each.nodes >= nodes), None)
        hint = f"choose {fitting}" if fitting else "divide the team's nodes between two clusters"
        yield at.problem(("size",), f"{settings.size} manages {size.nodes} nodes, not {nodes}", hint)
    if len(sources) + 1 > rules.node_groups:
        reason = f"PCS has {rules.node_groups} node groups per cluster, login nodes included; {len(sources)} sources"
        yield at.problem((), f"{reason} serve slurm", "put sources of one type together, or ask AWS for more")


def _settings(settings: Slurm, at: At) -> Iterator[Problem]:
    rules = pcs()
    own = own_settings(rules.ports, with_accounts=bool(settings.accounts))
    for name in settings.settings:
        if name in own:
            yield at.problem(("settings", name), f"paceline sets {name} to {own[name]}", "remove it")
        elif name not in rules.settings:
            reason = f"PCS lets no cluster set {name}"
            yield at.problem(("settings", name), reason, nearest(name, sorted({*rules.settings} - {*own})))


def _accounts(settings: Slurm, sources: CapacitySources, at: At) -> Iterator[Problem]:
    if not settings.accounts:
        return
    if settings.accounting is None:
        yield at.problem(
            ("accounts",), "accounts are kept in Slurm's database of jobs, and there is none", "set `accounting: {}`"
        )
    nodes, promised = sum(source.nodes for source in sources.values()), 0
    for name, account in settings.accounts.items():
        if name in TAKEN:
            yield at.problem(
                ("accounts", name), f"{name} has a meaning of its own in Slurm", "call the account otherwise"
            )
        promised += account.nodes
        if promised > nodes:
            reason = f"accounts are promised {promised} nodes, and the cluster has {nodes}"
            yield at.problem(("accounts", name, "nodes"), reason, "lower a promise; idle nodes can be used beside it")


def _images(team: Team, settings: Slurm, sources: CapacitySources, at: At) -> Iterator[Problem]:
    if "cpu" not in settings.images:
        yield at.problem(("images",), "no image for login nodes", _cure("cpu", team))
    for name, source in sources.items():
        row = instance_types().get(source.instance_type)
        if row is None:
            continue  # reported on its own
        if row.accelerator_count is None or row.cpu_arch is None:
            reason = f"no source says how many accelerators or which processor {row.instance_type} of {name} has"
            yield at.problem(("images",), reason, "choose another instance type")
        elif (kind := image_kind(row)) not in settings.images:
            reason = f"no image for {row.instance_type} of {name}"
            yield at.problem(("images",), reason, _cure(kind, team))


def _cure(kind: ImageKind, team: Team) -> str:
    """AWS keeps no image for some kinds of nodes: those are the team's to build."""
    if pcs().images[kind] is None:
        return f"AWS keeps none: build one with the installers of PCS, and add `{kind}:` with its id"
    return f"run `paceline images amis {team.parameters.location.region}`, or add `{kind}:` with a PCS-ready AMI"


def _sources(sources: CapacitySources, document: Document) -> Iterator[Problem]:
    for name, source in sources.items():
        at = At(document, ("capacity", name))
        if name == _LOGIN:
            yield at.problem((), "a node group of that name holds the login nodes", "call the source otherwise")
        if len(name) < 2:
            yield at.problem((), "PCS wants names of two characters or more", "call the source otherwise")
        if source.purchase.kind == "odcr-interruptible" and source.min_nodes:
            reason = "the reservation's owner can take nodes back, and none can replace them"
            yield at.problem(("min_nodes",), reason, "set it to 0: nodes come when jobs wait for them")
