"""Two versions of a team, compared: fields, budgets, templates, sentences, teardown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paceline.spec.documents import read, validate
from paceline.spec.errors import ParameterError
from stacks.change import budgets, templates
from stacks.change.changes import Change, compare
from stacks.change.diff import Difference, difference
from stacks.change.sentences import sentences
from stacks.change.teardown import plan
from stacks.settings import Parameters, Team
from stacks.teams import PLATFORM

SHIPPED = Path(__file__).parents[3] / "stacks" / "parameters"
POOL = {
    "serves": "eks",
    "instance_type": "p5.48xlarge",
    "zone": "use1-az1",
    "nodes": 4,
    "purchase": {"kind": "on-demand"},
}


def parameters(**changes: Any) -> Parameters:
    """The sandbox with sections laid over it."""
    from dataclasses import replace

    document = read(SHIPPED / "sandbox.yaml", ParameterError).over(read(SHIPPED / f"{PLATFORM}.yaml", ParameterError))
    layered = replace(document, data=changes).over(document)
    return validate(Parameters, layered, ParameterError)


def updates(old: Parameters, new: Parameters) -> dict[str, str]:
    return {change.key: change.update for change in compare(old, new)}


def test_nothing_changed() -> None:
    assert compare(parameters(), parameters()) == ()


def test_each_field_has_the_class_of_its_settings() -> None:
    file_system = {"size_gib": 2400, "mbps_per_tib": 250, "data_prefix": "corpus"}
    new = parameters(location={"region": "us-west-2"}, storage={"file_system": file_system})
    assert updates(parameters(), new) == {
        "location.region": "never",
        "storage.file_system.mbps_per_tib": "drain",
        "storage.file_system.size_gib": "live",
        "storage.file_system.data_prefix": "replace",
    }


def test_what_can_only_grow_cannot_shrink() -> None:
    large, small = parameters(storage={"file_system": {"size_gib": 2400}}), parameters()
    assert updates(small, large) == {"storage.file_system.size_gib": "live"}
    assert updates(large, small) == {"storage.file_system.size_gib": "never"}


def test_adding_is_live_and_removing_is_not() -> None:
    without, pool = parameters(), parameters(capacity={"pool": POOL})
    added, removed = compare(without, pool), compare(pool, without)
    assert [(change.key, change.update, change.old) for change in added] == [("capacity.pool", "live", None)]
    assert [(change.key, change.update, change.new) for change in removed] == [("capacity.pool", "replace", None)]


def test_a_subnet_can_be_added_but_not_moved() -> None:
    more = parameters(network={"subnets": {"use1-az4": "10.64.128.0/18"}})
    moved = parameters(network={"subnets": {"use1-az4": "10.64.192.0/18"}})
    assert updates(parameters(), more) == {"network.subnets.use1-az4": "live"}
    assert updates(more, moved) == {"network.subnets.use1-az4": "replace"}


def test_another_way_to_buy_replaces() -> None:
    spot = parameters(capacity={"pool": {**POOL, "purchase": {"kind": "spot"}}})
    more = parameters(capacity={"pool": {**POOL, "nodes": 6}})
    pool = parameters(capacity={"pool": POOL})
    assert updates(pool, spot) == {"capacity.pool.purchase": "replace"}
    assert updates(pool, more) == {"capacity.pool.nodes": "live"}


def test_addresses_and_nodes_before_and_after() -> None:
    old, new = parameters(capacity={"pool": POOL}), parameters(capacity={"pool": {**POOL, "nodes": 8}})
    (zone,) = budgets.addresses(old, new)
    assert (zone.zone, zone.usable_before, zone.usable_after) == ("use1-az1", 16379, 16379)
    assert zone.taken_after - zone.taken_before == 4  # one address per node: the other cards are efa-only
    (nodes,) = budgets.nodes(old, new)
    assert (nodes.instance_type, nodes.purchase, nodes.before, nodes.after) == ("p5.48xlarge", "on-demand", 4, 8)
    assert budgets.nodes(None, new)[0].before == 0


def test_a_reader_follows_only_what_moved() -> None:
    def producer(key: str, other: str) -> dict[str, Any]:
        return {
            "Resources": {"Key": {"Type": "K", "Properties": {"P": key}}, "Log": {"Type": "L", "Properties": other}},
            "Outputs": {"KeyArn": {"Value": {"Fn::GetAtt": ["Key", "Arn"]}}},
        }

    read_key = {"Fn::GetStackOutput": {"StackName": "my-team-Foundation", "OutputName": "KeyArn"}}
    reader = {"Resources": {"Bucket": {"Type": "B", "Properties": {"Key": read_key}}}}
    old = {"Foundation": producer("a", "x"), "Storage": reader}
    unmoved = templates.compare(old, {**old, "Foundation": producer("a", "y")}, team="my-team")
    assert [(stack.stack, stack.changed, stack.follows) for stack in unmoved] == [("Foundation", 1, ())]
    moved = templates.compare(old, {**old, "Foundation": producer("b", "x")}, team="my-team")
    assert [(stack.stack, stack.follows) for stack in moved] == [("Foundation", ()), ("Storage", ("Foundation",))]
    created = templates.compare({}, old, team="my-team")
    assert [(stack.stack, stack.before, stack.after, stack.follows) for stack in created] == [
        ("Foundation", 0, 2, ()),
        ("Storage", 0, 1, ()),
    ]


def test_a_live_change_of_a_real_team(cdk_flags: dict[str, Any]) -> None:
    team = Team(name="sandbox", parameters=parameters(storage={"noncurrent_days": 14}))
    found = difference(team, parameters(), against="HEAD", flags=cdk_flags)
    assert [change.key for change in found.changes] == ["storage.noncurrent_days"]
    assert [(stack.stack, stack.added, stack.changed, stack.removed) for stack in found.stacks] == [
        ("Storage", 0, 2, 0)
    ]
    assert not found.refused
    same = difference(team, team.parameters, against="HEAD", flags=cdk_flags)
    assert list(sentences(same)) == ["sandbox: nothing changes against HEAD."]


def test_a_new_team_is_created_whole(cdk_flags: dict[str, Any]) -> None:
    found = difference(Team(name="sandbox", parameters=parameters()), None, against="HEAD", flags=cdk_flags)
    said = list(sentences(found))
    assert said[0] == "sandbox does not exist at HEAD: everything is created."
    assert any(line.startswith("  Storage is created with") for line in said)


@pytest.mark.parametrize(("lifecycle", "refused"), [("retained", 1), ("disposable", 0)])
def test_never_is_refused_where_there_is_data(lifecycle: str, refused: int, cdk_flags: dict[str, Any]) -> None:
    old = parameters(lifecycle=lifecycle, network={"cidr": "10.64.0.0/17"})
    team = Team(name="sandbox", parameters=parameters(lifecycle=lifecycle))
    found = difference(team, old, against="HEAD", flags=cdk_flags)
    assert len(found.refused) == refused


def test_every_kind_of_change_has_its_sentence() -> None:
    def change(update: Any, **more: Any) -> Change:
        return Change(**{"path": (update,), "old": 1, "new": 2, "update": update, "meaning": "meant", **more})

    changes = (
        change("live"),
        change("drain"),
        change("replace"),
        change("live", path=("pool",), old=None, new={"a": 1}),
    )
    refused = change("never")
    found = Difference(
        team="vision",
        against="HEAD",
        new=False,
        changes=(*changes, refused),
        refused=(refused,),
        stacks=(
            templates.StackChange(
                stack="Storage", before=3, after=4, added=1, changed=2, removed=0, follows=("Foundation",)
            ),
        ),
        addresses=(
            budgets.Addresses(zone="use1-az1", usable_before=None, taken_before=0, usable_after=11, taken_after=4),
        ),
        nodes=(budgets.Nodes(instance_type="p5.48xlarge", purchase="spot", before=0, after=2),),
    )
    assert list(sentences(found)) == [
        "Live, while jobs run:",
        "  live: 1 becomes 2 (meant)",
        "  pool is added: a 1",
        "Drains first: nodes or clients must be idle:",
        "  drain: 1 becomes 2 (meant)",
        "Made anew; what it holds is gone:",
        "  replace: 1 becomes 2 (meant)",
        "Refused, because it would lose the team's data; make a new team, move the data, tear this one down:",
        "  never: 1 becomes 2 (meant)",
        "Stacks:",
        "  Storage: 1 added, 2 changed; 3 resources become 4; deploy it too: it reads from Foundation",
        "Addresses:",
        "  use1-az1: no subnet, afterwards 4 of 11, when every node is there",
        "Money:",
        "  at most 0 p5.48xlarge (spot) become 2; the price is unknown: the catalog holds none",
    ]
    assert found.plain()["refused"] == [{"path": "never", "old": 1, "new": 2, "update": "never", "meaning": "meant"}]


def test_a_teardown_ends_workloads_first_and_the_foundation_last() -> None:
    team = Team(name="sandbox", parameters=parameters(capacity={"pool": POOL}))
    steps = plan(team, ["Foundation", "Storage", "Eks"])
    titles = [step.title for step in steps]
    assert titles[:3] == [
        "end the workloads on EKS",
        "delete the volumes that pods asked for",
        "delete the load balancers that services asked for",
    ]
    assert [step.stack for step in steps if step.stack] == ["Eks", "Storage", "Foundation"]
    assert titles.index("wait until no network interface is left that a stack did not make") < titles.index(
        "delete the stack sandbox-Eks"
    )
    slurm = Team(name="sandbox", parameters=parameters(capacity={"pool": {**POOL, "serves": "slurm"}}))
    assert plan(slurm, [])[0].title == "end the jobs on Slurm"


def test_a_protected_team_is_not_taken_down() -> None:
    team = Team(name="vision", parameters=parameters(lifecycle="retained"))
    with pytest.raises(ParameterError, match="protected against deletion"):
        plan(team, ["Foundation"])
