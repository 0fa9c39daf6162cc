"""Two versions of a team, compared: fields, budgets, templates, sentences, teardown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from paceline.spec.deployment import DeployedStack, Deployment
from paceline.spec.documents import read, validate
from paceline.spec.errors import ParameterError
from stacks.change import addresses, costs, templates
from stacks.change.baseline import Baseline, of_deployment
from stacks.change.changes import Change, compare
from stacks.change.diff import Difference
from stacks.change.diff import difference as compared
from stacks.change.sentences import sentences
from stacks.change.teardown import plan, refuse_protected
from stacks.settings import Parameters, Team
from stacks.teams import PLATFORM
from tests.cluster_teams import SLURM

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
    document = read(SHIPPED / "sandbox.yaml", ParameterError).over(read(SHIPPED / f"{PLATFORM}.yaml", ParameterError))
    layered = replace(document, data=changes).over(document)
    return validate(Parameters, layered, ParameterError)


def difference(team: Team, old: Parameters | None, *, flags: dict[str, Any]) -> Difference:
    return compared(team, Baseline(name="HEAD", parameters=old), flags=flags)


def obstacles(old: Parameters, new: Parameters) -> list[tuple[str, str | None]]:
    return [(change.update, change.obstacle) for change in compare(old, new)]


def updates(old: Parameters, new: Parameters) -> dict[str, str]:
    return {change.key: change.update for change in compare(old, new)}


def test_nothing_changed() -> None:
    assert compare(parameters(), parameters()) == ()


def test_each_field_has_the_class_of_its_settings() -> None:
    file_system = {"size_gib": 2400, "mbps_per_tib": 250, "data_prefix": "corpus"}
    new = parameters(location={"region": "us-west-2"}, storage={"file_system": file_system})
    assert updates(parameters(), new) == {
        "location.region": "never",
        "storage.file_system.mbps_per_tib": "replace",
        "storage.file_system.size_gib": "live",
        "storage.file_system.data_prefix": "replace",
    }


def test_what_can_only_grow_cannot_shrink() -> None:
    large, small = parameters(storage={"file_system": {"size_gib": 2400}}), parameters()
    assert updates(small, large) == {"storage.file_system.size_gib": "live"}
    assert obstacles(large, small) == [("never", "back")]


def test_versions_rise_by_number_and_kubernetes_one_at_a_time() -> None:
    def cluster(version: str) -> Parameters:
        return parameters(eks={"version": version, "system_nodes": {"zones": ["use1-az1", "use1-az2"]}})

    assert obstacles(cluster("1.33"), cluster("1.34")) == [("drain", None)]
    assert obstacles(cluster("1.33"), cluster("1.35")) == [("never", "leap")]
    assert obstacles(cluster("1.35"), cluster("1.34")) == [("never", "back")]


def test_a_list_of_resources_may_grow() -> None:
    def registry(*names: str) -> Parameters:
        return parameters(registry={"repositories": list(names)})

    assert updates(registry("cpu"), registry("cpu", "gpu")) == {"registry.repositories": "live"}
    assert updates(registry("cpu", "gpu"), registry("cpu")) == {"registry.repositories": "replace"}


def test_a_team_cannot_move() -> None:
    assert obstacles(parameters(), parameters(location={"region": "us-west-2"})) == [("never", "fixed")]


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


def test_addresses_before_and_after() -> None:
    old, new = parameters(capacity={"pool": POOL}), parameters(capacity={"pool": {**POOL, "nodes": 8}})
    (zone,) = addresses.compare(old, new)
    assert (zone.subnet, zone.usable_before, zone.usable_after) == ("use1-az1", 16379, 16379)
    assert zone.taken_after - zone.taken_before == 4  # one address per node: the other cards are efa-only


def test_pods_and_the_control_plane_take_addresses() -> None:
    system = {"zones": ["use1-az1", "use1-az2"], "max_nodes": 2}
    beside = parameters(eks={"version": "1.34", "system_nodes": system, "pods_per_node": 16})
    taken = {item.subnet: item.taken_after - item.taken_before for item in addresses.compare(parameters(), beside)}
    assert taken == dict.fromkeys(["use1-az1", "use1-az2"], 6 + 2 + 2 * 32)
    pods = {"cidr": "100.64.0.0/16", "subnets": {"use1-az1": "100.64.0.0/18", "use1-az2": "100.64.64.0/18"}}
    apart = parameters(eks={"version": "1.34", "system_nodes": system, "pods_per_node": 16, "pods": pods})
    taken = {item.subnet: item.taken_after for item in addresses.compare(beside, apart)}
    assert taken["use1-az1 (pods)"] == 2 * 32


def test_the_bill_is_at_todays_prices_and_says_what_it_does_not_know() -> None:
    prices = {"instance_hours": {"p5.48xlarge": {"on-demand": 10.0, "spot": None}}}
    budget = {"budget": {"monthly_usd": 50_000}}
    old = parameters(capacity={"pool": POOL})
    new = parameters(capacity={"pool": {**POOL, "nodes": 8}}, prices=prices, governance=budget)
    bill = costs.bill(old, new)
    nodes, lustre = bill.costs
    assert (nodes.kind.what, nodes.kind.usd, nodes.before, nodes.after) == ("p5.48xlarge (on-demand)", 7300.0, 4, 8)
    assert (bill.before_usd, bill.after_usd, bill.budget_usd) == (4 * 7300.0, 8 * 7300.0, 50_000)
    assert (lustre.kind.price, lustre.kind.usd) == ("prices.lustre_gib_months.125", None)
    assert costs.bill(None, new).before_usd == 0


def test_prices_of_hyperpod_and_of_homes_have_their_own_names() -> None:
    hyperpod = parameters(capacity={"pool": {**POOL, "serves": "hyperpod"}})
    assert costs.bill(None, hyperpod).costs[0].kind.price == "prices.instance_hours.ml.p5.48xlarge.on-demand"
    prices = {"open_zfs_gib_months": {"single": 0.5}, "open_zfs_mbps_months": {"single": 2.0}}
    homes = {**SLURM["homes"], "size_gib": 100, "mbps": 160, "highly_available": False}
    bill = costs.bill(None, parameters(slurm={**SLURM, "homes": homes}, prices=prices))
    assert bill.after_usd == 100 * 0.5 + 160 * 2.0


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
    assert [(stack.stack, stack.before, stack.after and stack.after.resources) for stack in created] == [
        ("Foundation", None, 2),
        ("Storage", None, 1),
    ]


def test_what_is_only_said_about_a_resource_changes_nothing() -> None:
    def stack(path: str) -> dict[str, Any]:
        return {"Storage": {"Resources": {"Bucket": {"Type": "B", "Metadata": {"aws:cdk:path": path}}}}}

    assert templates.compare(stack("a"), stack("b"), team="vision") == ()


def test_a_live_change_of_a_real_team(cdk_flags: dict[str, Any]) -> None:
    team = Team(name="sandbox", parameters=parameters(storage={"noncurrent_days": 14}))
    found = difference(team, parameters(), flags=cdk_flags)
    assert [change.key for change in found.changes] == ["storage.noncurrent_days"]
    assert [(stack.stack, stack.added, stack.changed, stack.removed) for stack in found.stacks] == [
        ("Storage", 0, 2, 0)
    ]
    assert not found.refused
    same = difference(team, team.parameters, flags=cdk_flags)
    assert list(sentences(same)) == ["sandbox, compared with HEAD:", "Nothing changes."]


def test_a_new_team_is_created_whole(cdk_flags: dict[str, Any]) -> None:
    found = difference(Team(name="sandbox", parameters=parameters()), None, flags=cdk_flags)
    said = list(sentences(found))
    assert said[1] == "There is no such team there: everything is created."
    assert any(line.startswith("  Storage is created: ") for line in said)


@pytest.mark.parametrize(("lifecycle", "refused"), [("retained", 1), ("disposable", 0)])
def test_never_is_refused_where_there_is_data(lifecycle: str, refused: int, cdk_flags: dict[str, Any]) -> None:
    old = parameters(lifecycle=lifecycle, network={"cidr": "10.64.0.0/17"})
    team = Team(name="sandbox", parameters=parameters(lifecycle=lifecycle))
    found = difference(team, old, flags=cdk_flags)
    assert len(found.refused) == refused


def deployed(team: Team, flags: dict[str, Any], **changes: Any) -> Deployment:
    stacks = [
        DeployedStack(
            **{
                "name": f"{team.name}-{stack}",
                "status": "UPDATE_COMPLETE",
                "changed": datetime(2026, 11, 21, 7, 30, tzinfo=UTC),
                "protected": False,
                "template": template,
                "resources": {name: f"id-of-{name}" for name in template["Resources"]},
                **changes,
            }
        )
        for stack, template in templates.synthesize(team, flags).items()
    ]
    return Deployment(team=team.name, account="123456789012", region="us-east-1", stacks=tuple(stacks))


def test_what_is_deployed_says_from_which_parameters(cdk_flags: dict[str, Any]) -> None:
    priced = parameters(prices={"lustre_gib_months": {125: 0.5}})
    there = deployed(Team(name="sandbox", parameters=priced), cdk_flags)
    baseline = of_deployment(there)
    assert baseline.name == "what is deployed in account 123456789012, us-east-1, whole since 2026-11-21 07:30 UTC"
    assert baseline.parameters == parameters()  # without the prices
    found = compared(Team(name="sandbox", parameters=priced), baseline, flags=cdk_flags)
    assert list(sentences(found))[1:] == ["Nothing changes."]


def test_a_team_that_was_never_deployed_whole(cdk_flags: dict[str, Any]) -> None:
    team = Team(name="sandbox", parameters=parameters())
    whole = deployed(team, cdk_flags, status="UPDATE_ROLLBACK_FAILED")
    partly = whole.model_copy(update={"stacks": tuple(s for s in whole.stacks if s.name != "sandbox-Record")})
    said = list(sentences(compared(team, of_deployment(partly), flags=cdk_flags)))
    assert said[1].startswith("It was never deployed whole")
    assert "  Storage is UPDATE_ROLLBACK_FAILED" in said
    assert said[-1] == "Nothing changes."


def test_every_kind_of_change_has_its_sentence() -> None:
    def change(update: Any, **more: Any) -> Change:
        return Change(**{"path": (update,), "old": 1, "new": 2, "update": update, "meaning": "meant", **more})

    refused = (
        change("never", obstacle="data"),
        change("never", path=("region",), obstacle="fixed"),
        change("never", path=("size",), old=2, new=1, obstacle="back"),
        change("never", path=("version",), old="1.9", new="1.11", obstacle="leap"),
    )
    changes = (
        change("live"),
        change("drain"),
        change("replace"),
        change("live", path=("pool",), old=None, new={"a": 1, "b": [{"c": True}]}),
        *refused,
    )
    stack = templates.StackChange(
        stack="Storage",
        before=templates.Size(resources=3, size=1000),
        after=templates.Size(resources=4, size=2000),
        added=1,
        changed=2,
        removed=0,
        follows=("Foundation",),
    )
    known = costs.Kind(what="p5.48xlarge (spot)", unit="nodes", price="prices.a", usd=1000.0)
    unknown = costs.Kind(what="FSx", unit="GiB", price="prices.b", usd=None)
    found = Difference(
        team="vision",
        against="HEAD",
        new=False,
        unrecorded=False,
        changes=changes,
        refused=refused,
        stacks=(stack, replace(stack, stack="Capacity-pool", after=None)),
        unsettled={"Eks": "UPDATE_IN_PROGRESS"},
        addresses=(
            addresses.Addresses(subnet="use1-az1", usable_before=None, taken_before=0, usable_after=11, taken_after=4),
        ),
        bill=costs.Bill(
            costs=(costs.Cost(kind=known, before=0, after=2), costs.Cost(kind=unknown, before=1200, after=2400)),
            before_usd=0,
            after_usd=2000,
            budget_usd=1500,
        ),
    )
    assert list(sentences(found)) == [
        "vision, compared with HEAD:",
        "Not settled, so that what follows may not be what is there:",
        "  Eks is UPDATE_IN_PROGRESS",
        "Live, while jobs run:",
        "  live: 1 becomes 2 (meant)",
        "  pool is added: a 1, b [(c true)]",
        "Drains first: nodes or clients must be idle:",
        "  drain: 1 becomes 2 (meant)",
        "Made anew or removed, with what it holds (of a retained team the old one stays, unused and paid for):",
        "  replace: 1 becomes 2 (meant)",
        "Refused:",
        "  never: 1 becomes 2 (meant); it would lose the team's data: make a new team, move the data, tear this one"
        " down",
        "  region: 1 becomes 2 (meant); the stacks would be others, and the old ones stay: tear the team down first,"
        " with the file as it was",
        "  size: 2 becomes 1 (meant); AWS lets it only grow: keep 2, or make a new team with 1",
        "  version: 1.9 becomes 1.11 (meant); EKS takes one minor version at a time: deploy 1.10 first",
        "Stacks, in the order of deployment:",
        "  Storage: 1 added, 2 changed; 3 resources, 1 kB become 4 of 500 resources, 2 of 1,000 kB; deploy it too: it"
        " reads from Foundation",
        "  Capacity-pool is in the file no more, and `cdk deploy` leaves it as it is: aws cloudformation delete-stack"
        " --stack-name vision-Capacity-pool",
        "Addresses, when every node is there:",
        "  use1-az1: no subnet, afterwards 4 of 11",
        "Money per month, when every node is there all 730 hours:",
        "  at most 0 become 2 nodes of p5.48xlarge (spot): 0 USD become 2,000 USD",
        "  at most 1,200 become 2,400 GiB of FSx: unknown: no prices.b in platform.yaml",
        "  nodes and file systems: 0 USD become 2,000 USD, without one unknown price; a budget of 1,500 USD, which is"
        " less",
    ]
    assert [item["path"] for item in found.plain()["refused"]] == ["never", "region", "size", "version"]


def test_a_teardown_ends_workloads_first_and_the_foundation_last() -> None:
    cluster = {"version": "1.34", "system_nodes": {"zones": ["use1-az1", "use1-az2"]}}
    team = Team(name="sandbox", parameters=parameters(capacity={"pool": POOL}, eks=cluster))
    found = plan(team, {"Foundation": {}, "Storage": {}, "Eks": {}})
    titles = [step.title for step in found.steps]
    assert titles == [
        "end the workloads on EKS",
        "delete the volumes that pods asked for",
        "delete the load balancers that services asked for",
        "empty the buckets, of old versions too",
        "delete network interfaces that belong to nothing any more",
        "delete the stack sandbox-Eks",
        "delete the stack sandbox-Storage",
        "delete the stack sandbox-Foundation",
    ]
    assert [step.by for step in found.steps if step.command] == ["you"] * 3
    slurm = Team(name="sandbox", parameters=parameters(capacity={"pool": {**POOL, "serves": "slurm"}}))
    assert plan(slurm, {}).steps[0].title == "end the jobs on Slurm"


def test_a_teardown_is_of_what_is_there(cdk_flags: dict[str, Any]) -> None:
    team = Team(name="sandbox", parameters=parameters())
    there = deployed(Team(name="sandbox", parameters=parameters(lifecycle="retained")), cdk_flags)
    stacks = [s for s in there.stacks if s.name != "sandbox-Registry"]
    stacks.append(stacks[0].model_copy(update={"name": "sandbox-Capacity-old", "template": {}}))
    found = plan(team, templates.synthesize(team, cdk_flags), there.model_copy(update={"stacks": tuple(stacks)}))
    assert found.stacks == ("sandbox-Record", "sandbox-Storage", "sandbox-Foundation")
    assert found.steps[0].command == "aws cloudformation delete-stack --stack-name sandbox-Capacity-old"
    kept = {item.what.split()[0]: item for item in found.kept}
    assert {"AWS::S3::Bucket", "AWS::FSx::FileSystem", "AWS::KMS::Key"} <= kept.keys()
    assert all(item.command and "id-of-" in item.command for item in found.kept)


def test_capacity_that_others_sold_stays() -> None:
    reservation = "cr-0123456789abcdef0"
    attached = {"kind": "odcr-attached", "reservation": reservation, "instances": 4}
    block = {
        "kind": "capacity-block",
        "reservation": reservation,
        "instances": 4,
        "starts": "2030-01-07T11:30:00Z",
        "ends": "2030-01-21T11:30:00Z",
    }
    capacity = {"own": {**POOL, "purchase": attached}, "block": {**POOL, "purchase": block}, "pool": POOL}
    kept = plan(Team(name="sandbox", parameters=parameters(capacity=capacity)), {}).kept
    assert [(item.what, item.costs, bool(item.command)) for item in kept] == [
        (f"{reservation} (own)", "per hour, used or not", True),
        (f"{reservation} (block)", "paid in advance until 2030-01-21", False),
    ]


def test_a_protected_team_is_not_taken_down(cdk_flags: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match="lifecycle is retained"):
        refuse_protected(Team(name="vision", parameters=parameters(lifecycle="retained")))
    team = Team(name="sandbox", parameters=parameters())
    with pytest.raises(ParameterError, match="sandbox-Storage: protected against deletion") as caught:
        refuse_protected(team, deployed(team, cdk_flags, protected=True))
    assert len(caught.value.problems) == 4


def test_a_change_is_explained_by_what_the_field_is_and_not_by_how_to_choose_it() -> None:
    from stacks.change.changes import _first_clause

    assert _first_clause("EC2 instance type, e.g. p5en.48xlarge; one that the catalog lists") == (
        "EC2 instance type, e.g. p5en.48xlarge"
    )
    assert _first_clause("days that logs are kept") == "days that logs are kept"
