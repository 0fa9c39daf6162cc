"""The private names of ministack that the overlay works with. A new version of ministack starts here."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from types import ModuleType
from typing import Any

import pytest
from ministack import app
from ministack.core import responses, router
from ministack.services import budgets, ec2, eks, iam, s3, ssm
from ministack.services.cloudformation import changesets, engine, provisioners, stacks

from paceline.local.aws.overlay import FORGOTTEN, REPLACED, TYPES
from paceline.local.aws.schemas import DIRECTORY, load
from paceline.local.aws.server import MINISTACK

TABLES: list[tuple[ModuleType, str, type]] = [
    (app, "SERVICE_HANDLERS", dict),
    (app, "_loaded_modules", dict),
    (app, "_state_map", dict),
    (router, "SERVICE_PATTERNS", dict),
    (provisioners, "_RESOURCE_HANDLERS", dict),
    (provisioners, "_REPLACING_PROPERTIES", dict),
    (provisioners, "_CONDITIONALLY_REPLACING_PROPERTIES", dict),
    (provisioners, "_STACK_TAG_PROPERTY", dict),
    (provisioners, "_S3_BUCKET_CONFIGURATIONS", tuple),
    (ec2, "_ACTION_MAP", dict),
    (ec2, "_addresses", responses.AccountRegionScopedDict),
    (ec2, "_flow_logs", responses.AccountRegionScopedDict),
    (ec2, "_launch_templates", responses.AccountRegionScopedDict),
    (ec2, "_nat_gateways", responses.AccountRegionScopedDict),
    (ec2, "_placement_groups", responses.AccountRegionScopedDict),
    (ec2, "_security_groups", responses.AccountRegionScopedDict),
    (ec2, "_subnets", responses.AccountRegionScopedDict),
    (ec2, "_vpc_endpoints", responses.AccountRegionScopedDict),
    (ec2, "_vpcs", responses.AccountRegionScopedDict),
    (eks, "_clusters", responses.AccountRegionScopedDict),
    (eks, "_nodegroups", responses.AccountRegionScopedDict),
    (iam, "_oidc_providers", responses.AccountScopedDict),
    (s3, "_buckets", responses.AccountScopedDict),
]

FUNCTIONS: list[tuple[ModuleType, str, list[str]]] = [
    (app, "main", []),
    (responses, "get_account_id", []),
    (responses, "get_region", []),
    (responses, "now_epoch", []),
    (responses, "now_iso", []),
    (provisioners, "_ec2_apply_tags", ["physical_id", "props", "old_props"]),
    (provisioners, "_ec2_sg_permissions", ["rules"]),
    (provisioners, "_physical_name", ["stack_name", "logical_id", "lowercase", "max_len", "seeded"]),
    (provisioners, "_seeded_create", ["create_fn", "logical_id", "props", "stack_name"]),
    (budgets, "_create_budget", ["data"]),
    (budgets, "_delete_budget", ["data"]),
    (budgets, "_update_budget", ["data"]),
    (ec2, "_error", ["code", "message", "status"]),
    (ec2, "_parse_filters", ["params"]),
    (ec2, "_parse_member_list", ["params", "prefix"]),
    (ec2, "_sg_rule_id", ["sg_id", "is_egress", "rule"]),
    (ec2, "_zone_name_for_az_id", ["az_id"]),
    (ec2, "_xml", ["status", "root_tag", "inner"]),
    (eks, "_associate_access_policy", ["cluster_name", "principal_arn", "body"]),
    (eks, "_create_access_entry", ["cluster_name", "body"]),
    (eks, "_create_addon", ["cluster_name", "body"]),
    (eks, "_create_pod_identity_association", ["cluster_name", "body"]),
    (eks, "_delete_access_entry", ["cluster_name", "principal_arn"]),
    (eks, "_delete_addon", ["cluster_name", "addon_name"]),
    (eks, "_delete_pod_identity_association", ["cluster_name", "association_id"]),
    (eks, "_describe_addon", ["cluster_name", "addon_name"]),
    (eks, "_disassociate_access_policy", ["cluster_name", "principal_arn", "policy_arn"]),
    (eks, "_update_access_entry", ["cluster_name", "principal_arn", "body"]),
    (eks, "_update_addon", ["cluster_name", "addon_name", "body"]),
    (eks, "_update_pod_identity_association", ["cluster_name", "association_id", "body"]),
    (iam, "_create_oidc_provider", ["p"]),
    (iam, "_delete_oidc_provider", ["p"]),
    (s3, "_bucket_has_versions", ["name"]),
    (s3, "_delete_bucket_encryption", ["name"]),
    (s3, "_delete_bucket_lifecycle", ["name"]),
    (s3, "_delete_bucket_ownership_controls", ["name"]),
    (s3, "_delete_bucket_tagging", ["name"]),
    (s3, "_put_bucket_encryption", ["name", "body"]),
    (s3, "_put_bucket_lifecycle", ["name", "body"]),
    (s3, "_put_bucket_logging", ["name", "body"]),
    (s3, "_put_bucket_ownership_controls", ["name", "body"]),
    (s3, "_put_bucket_tagging", ["name", "body"]),
]


def test_the_installed_version_is_the_one_that_is_known() -> None:
    assert version("ministack") == MINISTACK


@pytest.mark.parametrize(("module", "name", "kind"), TABLES, ids=lambda value: getattr(value, "__name__", value))
def test_a_table(module: ModuleType, name: str, kind: type) -> None:
    assert isinstance(getattr(module, name), kind)


@pytest.mark.parametrize(("module", "name", "parameters"), FUNCTIONS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_function(module: ModuleType, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(module, name)).parameters) == parameters


def test_every_module_of_the_engine_works_from_one_table_of_types() -> None:
    assert changesets._RESOURCE_HANDLERS is provisioners._RESOURCE_HANDLERS
    assert stacks._property_recreation is provisioners._property_recreation
    assert "from .provisioners import _RESOURCE_HANDLERS" in inspect.getsource(engine.validate_template_support)


def test_weak_references_of_the_cdk_are_resolved() -> None:
    assert '"Fn::GetStackOutput" in value' in inspect.getsource(engine._resolve_refs)


def test_there_is_one_schema_for_each_type_of_the_overlay() -> None:
    assert set(load()) == TYPES
    assert {path.stem for path in DIRECTORY.glob("*.json")} == {name.replace("::", "-") for name in TYPES}


def test_what_the_overlay_completes_has_the_functions_it_wraps() -> None:
    for name in FORGOTTEN:
        handler: dict[str, Any] = provisioners._RESOURCE_HANDLERS[name]
        assert callable(handler["create"])
        assert callable(handler["update"])


@pytest.mark.parametrize(
    "action",
    ["DescribeFlowLogs", "DescribeLaunchTemplateVersions", "DescribeVpcEndpoints", "DescribeVpcs"],
)
def test_what_a_view_completes_is_answered_by_an_action_of_the_table(action: str) -> None:
    assert action in ec2._ACTION_MAP


def test_what_the_overlay_has_replaced_or_guarded_has_handlers_of_its_own() -> None:
    for name in (*REPLACED, "AWS::S3::Bucket"):
        assert callable(provisioners._RESOURCE_HANDLERS[name]["delete"])
    assert "_replacing_change(resource_type" in inspect.getsource(provisioners._update_resource)


def test_a_service_that_both_answer_is_asked_as_the_overlay_asks_it() -> None:
    assert "ssm" in app.SERVICE_HANDLERS
    asked = list(inspect.signature(ssm.handle_request).parameters)
    assert asked == ["method", "path", "headers", "body", "query_params"]
