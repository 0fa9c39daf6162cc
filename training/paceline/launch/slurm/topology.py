"""Which nodes hang on which switches, in the form that Slurm reads: a job is then placed below as few of them as can
be, and a run keeps the second copies of its state below another leaf.

Formats: topology.conf(5), and topology.yaml(5), which Slurm reads since 25.05 and then prefers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from paceline.spec.base import Record
from paceline.spec.errors import ParameterError

_YAML_SINCE = (25, 5)
# above switches that have nothing in common: Slurm gives a job no nodes that no switch connects
_TOP = "network"


class Network(Record):
    """A network that a person describes: each node, and the switches that it hangs on, from the top down."""

    switches: dict[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Switch:
    """A switch, and what hangs on it: other switches, or nodes."""

    name: str
    switches: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


def tree(placed: Mapping[str, tuple[str, ...]]) -> tuple[Switch, ...]:
    """The switches of a network in which each node hangs on those of `placed`, from the top down; the top one first.
    ParameterError when they are no tree: Slurm can use nothing else."""
    above: dict[str, str | None] = {}
    nodes: dict[str, list[str]] = {}
    for node, path in placed.items():
        if not path:
            raise ParameterError(
                f"{node}: nobody says on which switch it hangs", "Slurm wants every node in its topology"
            )
        for upper, lower in zip((None, *path), path, strict=False):
            if above.setdefault(lower, upper) != upper:
                other = above[lower] or "nothing"
                raise ParameterError(
                    f"{node}: {lower} hangs on {upper or 'nothing'}, and for other nodes on {other}",
                    "give each switch one switch above it",
                )
        nodes.setdefault(path[-1], []).append(node)
    tops = [name for name, upper in above.items() if upper is None]
    below = {name: tuple(sorted(child for child, upper in above.items() if upper == name)) for name in above}
    if both := [name for name in nodes if below[name]]:
        raise ParameterError(f"{both[0]}: has nodes and switches", "name the same number of switches for every node")
    root = (Switch(name=_TOP, switches=tuple(sorted(tops))),) if len(tops) > 1 else ()
    inner = (Switch(name=name, switches=below[name], nodes=tuple(sorted(nodes.get(name, ())))) for name in above)
    return (*root, *inner)


def rendered(switches: tuple[Switch, ...], version: tuple[int, int]) -> tuple[str, str]:
    """The file's name and content, for the slurmctld of this version (year, month)."""
    if version >= _YAML_SINCE:
        return "topology.yaml", _as_yaml(switches)
    return "topology.conf", "".join(f"{_as_line(switch)}\n" for switch in switches)


def _as_line(switch: Switch) -> str:
    below = f"Switches={','.join(switch.switches)}" if switch.switches else f"Nodes={','.join(switch.nodes)}"
    return f"SwitchName={switch.name} {below}"


def _as_yaml(switches: tuple[Switch, ...]) -> str:
    listed = [
        {"switch": switch.name, "children": ",".join(switch.switches)}
        if switch.switches
        else {"switch": switch.name, "nodes": ",".join(switch.nodes)}
        for switch in switches
    ]
    document = [{"topology": "network", "cluster_default": True, "tree": {"switches": listed}}]
    return yaml.safe_dump(document, sort_keys=False, explicit_start=True, width=10_000)
