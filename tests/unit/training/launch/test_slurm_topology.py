"""A network as Slurm reads it."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from paceline.launch.slurm.topology import rendered, tree
from paceline.spec.errors import ParameterError

PLACED = {"n1": ("top", "leaf-a"), "n2": ("top", "leaf-b"), "n3": ("top", "leaf-a")}


def test_before_25_05_it_is_lines_of_switches() -> None:
    assert rendered(tree(PLACED), (24, 11)) == (
        "topology.conf",
        "SwitchName=top Switches=leaf-a,leaf-b\nSwitchName=leaf-a Nodes=n1,n3\nSwitchName=leaf-b Nodes=n2\n",
    )


def test_since_25_05_it_is_yaml() -> None:
    name, text = rendered(tree(PLACED), (25, 5))
    [network] = yaml.safe_load(text)
    assert (name, network["cluster_default"]) == ("topology.yaml", True)
    assert network["tree"]["switches"] == [
        {"switch": "top", "children": "leaf-a,leaf-b"},
        {"switch": "leaf-a", "nodes": "n1,n3"},
        {"switch": "leaf-b", "nodes": "n2"},
    ]


@pytest.mark.parametrize(
    ("placed", "said"),
    [
        ({"n1": ()}, "n1: nobody says"),
        ({"n1": ("a", "c"), "n2": ("b", "c")}, "n2: c hangs on b, and for other nodes on a"),
        ({"n1": ("a",), "n2": ("a", "b")}, "a: has nodes and switches"),
    ],
)
def test_what_is_no_tree_is_refused(placed: dict[str, tuple[str, ...]], said: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(said)):
        tree(placed)


@given(
    st.dictionaries(st.integers(0, 99), st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 4)), min_size=1)
)
def test_every_node_and_every_switch_hangs_on_exactly_one(places: dict[int, tuple[int, int, int]]) -> None:
    placed = {f"n{node}": (f"t{a}", f"m{a}.{b}", f"l{a}.{b}.{c}") for node, (a, b, c) in places.items()}
    switches = tree(placed)
    assert sorted(node for switch in switches for node in switch.nodes) == sorted(placed)
    hanging = [name for switch in switches for name in switch.switches]
    assert sorted([switches[0].name, *hanging]) == sorted(switch.name for switch in switches)
    assert all(bool(switch.nodes) != bool(switch.switches) for switch in switches)
