"""A resource and its replacement can stand beside each other."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk.assertions import Template
from hypothesis import given
from hypothesis import strategies as st

from paceline_constructs.guardrails.replaceable_name import replaceable_name
from tests.cluster_teams import HYPERPOD, SLURM, Make, source


@given(base=st.from_regex(r"[a-z]{1,20}", fullmatch=True), values=st.lists(st.text(), max_size=3))
def test_a_name_stays_while_nothing_changes(base: str, values: list[str]) -> None:
    name = replaceable_name(base, *values)
    assert name == replaceable_name(base, *values)
    assert name.startswith(f"{base}-") and len(name) == len(base) + 5


def test_values_do_not_run_into_each_other() -> None:
    assert replaceable_name("a", "bc", "d") != replaceable_name("a", "b", "cd")


def names(template: Template, kind: str, field: str) -> set[str]:
    return {resource["Properties"][field] for resource in template.find_resources(kind).values()}


@pytest.mark.parametrize(
    ("change", "replaced"), [({"size": "LARGE"}, True), ({"zone": "use1-az2"}, True), ({"idle_seconds": 60}, False)]
)
def test_a_replaced_slurm_cluster_has_another_name(make_team: Make, change: dict[str, Any], replaced: bool) -> None:
    before, after = (make_team(slurm=SLURM | several).slurm for several in ({}, change))
    assert before and after
    kind, old = "AWS::PCS::Cluster", Template.from_stack(before)
    assert (names(old, kind, "Name") != names(Template.from_stack(after), kind, "Name")) is replaced


def test_nodes_of_another_type_come_beside_the_old_in_the_same_queue(make_team: Make) -> None:
    before, after = (
        Template.from_stack(make_team(slurm=SLURM, capacity={"pool": source("slurm", **change)}).capacity["pool"])
        for change in ({}, {"instance_type": "trn1.32xlarge"})
    )
    assert names(before, "AWS::PCS::ComputeNodeGroup", "Name").isdisjoint(
        names(after, "AWS::PCS::ComputeNodeGroup", "Name")
    )
    assert names(before, "AWS::PCS::Queue", "Name") == names(after, "AWS::PCS::Queue", "Name") == {"pool"}


def test_a_replaced_hyperpod_cluster_has_another_name(make_team: Make) -> None:
    before, after = (make_team(hyperpod=HYPERPOD | change).hyperpod for change in ({}, {"zone": "use1-az2"}))
    assert before and after
    kind, old = "AWS::SageMaker::Cluster", Template.from_stack(before)
    assert names(old, kind, "ClusterName").isdisjoint(names(Template.from_stack(after), kind, "ClusterName"))
