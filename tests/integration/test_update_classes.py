"""The class of every field against what CloudFormation does: whether the changed template makes a resource anew.

What a property's change does is read where the CDK CLI reads it (its service specification) and in the schemas of
cfn-lint, whichever knows of the replacement. Both come with the pinned packages.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from paceline.spec.documents import Document, validate
from paceline.spec.errors import ParameterError
from stacks.change.changes import Change, compare
from stacks.change.templates import synthesize
from stacks.record import RECORD
from stacks.settings import Parameters, Team
from stacks.teams import read_teams

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
CASES: dict[str, list[dict[str, Any]]] = yaml.safe_load(Path(__file__).with_name("updates.yaml").read_text())

# what runs nodes, and what holds data, addresses or capacity. The rest (rules, policies, aliases) is made anew unseen
NODES = {
    "AWS::EKS::Nodegroup",
    "AWS::PCS::ComputeNodeGroup",
}
HOLDERS = NODES | {
    "AWS::APS::Workspace",
    "AWS::EC2::CapacityReservation",
    "AWS::EC2::PlacementGroup",
    "AWS::EC2::Subnet",
    "AWS::EC2::VPC",
    "AWS::ECR::Repository",
    "AWS::EKS::Cluster",
    "AWS::FSx::FileSystem",
    "AWS::Grafana::Workspace",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::PCS::Cluster",
    "AWS::S3::Bucket",
    "AWS::SNS::Topic",
    "AWS::SageMaker::Cluster",
}


@cache
def shipped(team: str) -> Parameters:
    by_name = {item.name: item.parameters for item in read_teams(ROOT / "stacks" / "parameters")}
    return by_name[team]


def laid_over(parameters: Parameters, delta: Mapping[str, Any]) -> Parameters:
    document = Document(data=dict(delta)).over(Document(data=parameters.model_dump(mode="json")))
    return validate(Parameters, Document(data=without_nulls(document.data, delta)), ParameterError)


def without_nulls(data: Any, delta: Any) -> Any:
    """`data` without the keys for which `delta` says null: those of another member of a union."""
    if not isinstance(data, dict) or not isinstance(delta, Mapping):
        return data
    return {
        key: without_nulls(value, delta.get(key)) for key, value in data.items() if delta.get(key, value) is not None
    } | {key: value for key, value in data.items() if value is None and key not in delta}


def cases() -> Iterator[tuple[str, Parameters, Mapping[str, Any]]]:
    for team, deltas in CASES.items():
        for delta in deltas:
            yield team, laid_over(shipped(team), delta.get("from", {})), delta.get("to", delta)


UNSAID = [delta["to"] for deltas in CASES.values() for delta in deltas if "unsaid" in delta]


def changes(case: tuple[str, Parameters, Mapping[str, Any]]) -> tuple[Change, ...]:
    _, old, delta = case
    return compare(old, laid_over(old, delta))


def by_class() -> dict[str, list[tuple[str, Parameters, Mapping[str, Any]]]]:
    found = defaultdict(list)
    for case in cases():
        classes = {change.update for change in changes(case)}
        found[max(classes, key=["live", "drain", "replace", "never"].index)].append(case)
    return found


@cache
def specification() -> tuple[dict[str, Any], dict[str, Any]]:
    """Resource types by name and property types by id, of the CDK CLI."""
    database = ROOT / "node_modules" / "aws-cdk" / "db.json.gz"
    schema = json.loads(gzip.decompress(database.read_bytes()))["schema"]
    resources = {entity["cloudFormationType"]: entity for entity in schema["resource"]["entities"]}
    return resources, {entity["$id"]: entity for entity in schema["typeDefinition"]["entities"]}


def replaces(properties: Mapping[str, Any], old: Any, new: Any) -> bool:
    """Whether going from `old` to `new` makes the resource anew, by the CDK CLI's specification of its properties."""
    for name, spec in properties.items():
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if spec.get("causesReplacement") == "yes":
            return True
        reference = spec["type"].get("reference", {}).get("$ref")
        nested = specification()[1][reference]["properties"] if reference else {}
        if isinstance(before, dict) and isinstance(after, dict) and replaces(nested, before, after):
            return True
    return False


@cache
def create_only(resource_type: str) -> tuple[tuple[str, ...], ...]:
    from cfnlint.schema import ResourceNotFoundError
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    try:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource_type).schema
    except ResourceNotFoundError:
        return ()
    paths = schema.get("createOnlyProperties") or ()
    return tuple(tuple(path.removeprefix("/properties/").split("/")) for path in paths)


def at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def made_anew(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    known = specification()[0].get(kind)
    if known and replaces(known["properties"], old, new):
        return True
    return any(at(old, path) != at(new, path) for path in create_only(kind))


def lost(team: str, old: Parameters, new: Parameters, flags: dict[str, Any]) -> set[str]:
    """The types of the resources that are removed or made anew."""
    before = synthesized(Team(name=team, parameters=old), flags)
    after = synthesized(Team(name=team, parameters=new), flags)
    return {
        resource["Type"]
        for stack in before.keys() - {RECORD}
        for name, resource in before[stack]["Resources"].items()
        if not (there := after.get(stack, {"Resources": {}})["Resources"].get(name))
        or made_anew(resource["Type"], resource.get("Properties", {}), there.get("Properties", {}))
    }


_synthesized: dict[str, dict[str, Any]] = {}


def synthesized(team: Team, flags: dict[str, Any]) -> dict[str, Any]:
    key = f"{team.name} {team.parameters.model_dump_json()}"
    if key not in _synthesized:
        _synthesized[key] = synthesize(team, flags)
    return _synthesized[key]


def merged(chosen: list[tuple[str, Parameters, Mapping[str, Any]]]) -> Iterator[tuple[str, Parameters, Parameters]]:
    """Cases that start from the same parameters as one change: together they are as harmless as each is alone."""
    starts: dict[tuple[str, str], Parameters] = {}
    ends: dict[tuple[str, str], Parameters] = {}
    for team, old, delta in chosen:
        key = (team, old.model_dump_json())
        starts[key] = old
        ends[key] = laid_over(ends.get(key, old), delta)
    for key, old in starts.items():
        yield key[0], old, ends[key]


def test_a_live_change_makes_nothing_anew_that_holds_something(cdk_flags: dict[str, Any]) -> None:
    for team, old, new in merged(by_class()["live"]):
        assert (team, lost(team, old, new, cdk_flags) & HOLDERS) == (team, set())


def test_a_change_that_drains_makes_at_most_nodes_anew(cdk_flags: dict[str, Any]) -> None:
    for team, old, new in merged(by_class()["drain"]):
        assert (team, (lost(team, old, new, cdk_flags) & HOLDERS) - NODES) == (team, set())


def test_what_is_announced_as_made_anew_is(cdk_flags: dict[str, Any]) -> None:
    """Or its stacks are others: CloudFormation does not know of a place what was deployed in another."""
    wrong = []
    for team, old, delta in by_class()["replace"] + by_class()["never"]:
        new = laid_over(old, delta)
        if "location" not in delta and delta not in UNSAID and not lost(team, old, new, cdk_flags):
            wrong.append((team, delta))
    assert wrong == []


def test_every_field_changes_in_some_case() -> None:
    changed = {owner(change.path) for case in cases() for change in changes(case)}
    assert set(fields(Parameters)) - changed == set()


def owner(path: tuple[str | int, ...]) -> str:
    """The field that a changed path belongs to: keys of mappings are left out."""
    models, name = [Parameters], ""
    for part in path:
        holding = [model for model in models if str(part) in model.model_fields]
        if holding:
            name += f".{part}"
            models = [m for model in holding for m in held(model.model_fields[str(part)].annotation)]
    return name.removeprefix(".")


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The fields that hold values and not models. Items of lists are compared whole."""
    for name, field in model.model_fields.items():
        inner = held(field.annotation)
        whole = not inner or "tuple" in str(field.annotation)
        if whole and name != "kind":  # of a union: another kind is another value of the field above
            yield prefix + name
        for item in () if whole else inner:
            yield from fields(item, f"{prefix}{name}.")


def held(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in held(argument)]


@pytest.mark.parametrize(
    ("kind", "old", "new", "anew"),
    [
        ("AWS::FSx::FileSystem", {"StorageCapacity": 1200}, {"StorageCapacity": 2400}, False),
        ("AWS::FSx::FileSystem", {"SubnetIds": ["a"]}, {"SubnetIds": ["b"]}, True),
        (
            "AWS::FSx::FileSystem",
            {"OpenZFSConfiguration": {"DeploymentType": "SINGLE_AZ_2"}},
            {"OpenZFSConfiguration": {"DeploymentType": "SINGLE_AZ_HA_2"}},
            True,
        ),
        (
            "AWS::SageMaker::Cluster",
            {"Orchestrator": {"Eks": {"ClusterArn": "a"}}},
            {"Orchestrator": {"Eks": {"ClusterArn": "b"}}},
            True,
        ),
    ],
)
def test_the_sources_know_what_is_made_anew(kind: str, old: Any, new: Any, anew: bool) -> None:
    assert made_anew(kind, old, new) is anew
