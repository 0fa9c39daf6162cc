"""The CloudFormation resource types that ministack lacks, entered into ministack's own tables.

No function of ministack is replaced: it works from tables, and the overlay adds rows to them. Their private names are
listed in tests/contract/test_ministack_internals.py and hold for exactly one version (`server.MINISTACK`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ministack.services.cloudformation import provisioners

from paceline.local.aws import budgets, ec2, eks, iam, s3
from paceline.local.aws.handler import Created, Handler, Properties, checked
from paceline.local.aws.schemas import load
from paceline.local.aws.state_only import StateOnly, forms
from paceline.local.aws.store import Store

HANDLERS: Mapping[str, Handler] = {**budgets.HANDLERS, **ec2.HANDLERS, **eks.HANDLERS, **iam.HANDLERS}

REPLACED = frozenset({"AWS::EC2::VPCEndpoint"})
"""Types of ministack's own that change in place where AWS makes them anew."""

TYPES = frozenset((*HANDLERS, *forms(), *REPLACED))
"""Every type whose schema the overlay works from."""

FORGOTTEN: Mapping[str, Callable[[str, Properties], dict[str, Any]]] = {
    "AWS::EC2::Subnet": ec2.subnet_attributes,
    "AWS::EC2::VPC": ec2.vpc_attributes,
    "AWS::EKS::Cluster": eks.complete_cluster,
    "AWS::EKS::Nodegroup": eks.complete_nodegroup,
}
"""Types of ministack's own whose handlers leave out what templates or readers ask for, and what supplies it."""


def install(store: Store) -> None:
    """Enter every type of the overlay into ministack's tables, once per process.

    `store` holds the resources that are only remembered.
    """
    schemas = load()
    handlers = dict(HANDLERS) | {name: StateOnly(schemas[name], form, store) for name, form in forms().items()}
    for name, handler in handlers.items():
        schema = schemas[name]
        provisioners._RESOURCE_HANDLERS[name] = checked(schema, handler)
        if tag_property := schema.tag_property:
            provisioners._STACK_TAG_PROPERTY[name] = tag_property
    for name in TYPES:
        create_only = schemas[name].create_only
        provisioners._REPLACING_PROPERTIES[name] = tuple(sorted(p[0] for p in create_only if len(p) == 1))
        nested = tuple(sorted({p[0] for p in create_only if len(p) > 1}))
        provisioners._CONDITIONALLY_REPLACING_PROPERTIES[name] = nested
    provisioners._S3_BUCKET_CONFIGURATIONS += s3.CONFIGURATIONS
    for name, attributes in FORGOTTEN.items():
        table = provisioners._RESOURCE_HANDLERS[name]
        provisioners._RESOURCE_HANDLERS[name] = _completed(table, attributes)
    bucket = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"] = _guarded(bucket, s3.refuse_unless_empty)


def _completed(table: Mapping[str, Any], attributes: Callable[[str, Properties], dict[str, Any]]) -> dict[str, Any]:
    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        physical_id, known = table["create"](logical_id, properties, stack)
        return physical_id, attributes(physical_id, properties) | known

    def update(physical_id: str, old: Properties, new: Properties, *rest: str) -> Created:
        physical_id, known = table["update"](physical_id, old, new, *rest)
        return physical_id, attributes(physical_id, new) | known

    return {**table, "create": create, "update": update}


def _guarded(table: Mapping[str, Any], guard: Callable[[str], None]) -> dict[str, Any]:
    def delete(physical_id: str, properties: Properties) -> None:
        guard(physical_id)
        table["delete"](physical_id, properties)

    return {**table, "delete": delete}
