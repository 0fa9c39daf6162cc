"""Resources that are remembered: ids, attributes, refusal, update, replacement, persistence."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ministack.core import persistence
from ministack.services.cloudformation import provisioners

from paceline.local.aws.schemas import load
from paceline.local.aws.state_only import forms
from paceline.local.aws.store import Resource, Store

FSX = "AWS::FSx::FileSystem"
LUSTRE = {"FileSystemType": "LUSTRE", "SubnetIds": ["subnet-1"], "StorageCapacity": 1200}


def update(type_name: str, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> Any:
    return provisioners._update_resource(type_name, physical_id, old, new, "sandbox-Test", "Thing", {})


def test_ref_and_attributes_look_like_the_service(provision: Any, account: str) -> None:
    physical_id, attributes = provision(FSX, LUSTRE)
    assert re.fullmatch("fs-[0-9a-f]{17}", physical_id)
    assert attributes["DNSName"] == f"{physical_id}.fsx.us-east-1.amazonaws.com"
    assert attributes["ResourceARN"] == f"arn:aws:fsx:us-east-1:{account}:file-system/{physical_id}"
    assert re.fullmatch("[0-9a-f]{8}", attributes["LustreMountName"])


def test_ref_is_the_schemas_primary_identifier(provision: Any) -> None:
    physical_id, attributes = provision("AWS::APS::Workspace", {"Alias": "vision"})
    assert physical_id == attributes["Arn"]
    assert attributes["WorkspaceId"].startswith("ws-")


def test_a_name_is_made_up_when_there_is_none(provision: Any, store: Store) -> None:
    provision("AWS::SageMaker::Cluster", {"InstanceGroups": []})
    (cluster,) = store.all("AWS::SageMaker::Cluster")
    assert cluster.properties["ClusterName"].startswith("sandbox-Test-Thing-")


def test_a_wrong_template_is_refused_whole(provision: Any, store: Store) -> None:
    with pytest.raises(ValueError, match="Properties validation failed for resource Thing") as refusal:
        provision(FSX, {"FileSystemType": "LUSTRE", "Turbo": True})
    assert "required key [SubnetIds] not found" in str(refusal.value)
    assert "extraneous key [Turbo] is not permitted" in str(refusal.value)
    assert not list(store.all(FSX))


def test_an_update_in_place_keeps_the_resource(provision: Any, store: Store) -> None:
    physical_id, attributes = provision(FSX, LUSTRE)
    assert update(FSX, physical_id, LUSTRE, {**LUSTRE, "StorageCapacity": 2400}) == (physical_id, attributes)
    (resource,) = store.all(FSX)
    assert resource.properties["StorageCapacity"] == 2400


def test_a_create_only_property_makes_a_new_resource(provision: Any, store: Store) -> None:
    physical_id, _ = provision(FSX, LUSTRE)
    new_id, _ = update(FSX, physical_id, LUSTRE, {**LUSTRE, "SubnetIds": ["subnet-2"]})
    assert new_id != physical_id
    # outside of a stack the engine deletes the predecessor at once
    assert [resource.physical_id for resource in store.all(FSX)] == [new_id]


def test_a_nested_create_only_property_makes_a_new_resource(provision: Any, store: Store) -> None:
    name = "AWS::SageMaker::Cluster"
    old: dict[str, Any] = {"Orchestrator": {"Eks": {"ClusterArn": "arn:a"}}}
    new = {"Orchestrator": {"Eks": {"ClusterArn": "arn:b"}}}
    physical_id, _ = provision(name, old)
    new_id, _ = update(name, physical_id, old, new)
    assert new_id != physical_id
    assert len({resource.properties["ClusterName"] for resource in store.all(name)}) == 2


def test_a_resource_with_a_name_of_its_own_cannot_be_made_anew(provision: Any, store: Store) -> None:
    name = "AWS::SageMaker::Cluster"
    old = {"ClusterName": "pod", "Orchestrator": {"Eks": {"ClusterArn": "arn:a"}}}
    physical_id, _ = provision(name, old)
    with pytest.raises(ValueError, match="with identifier 'pod' already exists"):
        update(name, physical_id, old, {**old, "Orchestrator": {"Eks": {"ClusterArn": "arn:b"}}})
    queue = {"Name": "gpu", "ClusterId": "pcs_a"}
    provision("AWS::PCS::Queue", queue)
    provision("AWS::PCS::Queue", {**queue, "ClusterId": "pcs_b"})  # another cluster's names are its own
    with pytest.raises(ValueError, match="'gpu' already exists"):
        provision("AWS::PCS::Queue", queue)


def test_deleting_twice_is_no_error(provision: Any, store: Store) -> None:
    physical_id, _ = provision(FSX, LUSTRE)
    for _ in range(2):
        provisioners._delete_resource(FSX, physical_id, LUSTRE)
    assert not list(store.all(FSX))


def test_accounts_do_not_see_each_other(provision: Any, store: Store) -> None:
    from ministack.core import responses

    provision(FSX, LUSTRE)
    responses.set_request_account_id("999999999999")
    assert not list(store.all(FSX))


@pytest.mark.parametrize("name", sorted(forms()))
def test_a_form_fits_its_schema(name: str) -> None:
    form, schema = forms()[name], load()[name]
    assert set(form.attributes) <= schema.read_only
    settable = schema.document["properties"].keys() - schema.read_only
    assert set(schema.primary_identifier) <= set(form.attributes) | settable
    assert form.name is None or form.name in settable


documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(properties=st.dictionaries(st.text("ABCabc", min_size=1, max_size=8), documents, max_size=4))
def test_the_store_survives_ministacks_file_format(account: str, properties: dict[str, Any]) -> None:
    before = Store()
    resource = Resource(
        type_name=FSX, physical_id="fs-1", id="fs-1", properties=properties, attributes={"Id": "fs-1"}, created=1.5
    )
    before.put(resource)
    text = json.dumps(before.get_state(), default=persistence._json_default)
    after = Store()
    after.load_persisted_state(json.loads(text, object_hook=persistence._json_object_hook))
    assert list(after.all(FSX)) == [resource]
