"""What CloudFormation's engine asks of a resource type, and the checks that every type of the overlay shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ministack.services.cloudformation import provisioners

from paceline.local.aws.schemas import Schema

Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]
"""The physical id and the attributes for Fn::GetAtt."""


class Handler(Protocol):
    """One resource type. A refusal is a ValueError whose text becomes the stack event's reason."""

    def create(self, logical_id: str, properties: Properties, stack: str) -> Created: ...

    def update(self, physical_id: str, old: Properties, new: Properties) -> Created:
        """Change in place; what needs a new resource never gets here."""
        ...

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Deleting what is gone is no error: a stack delete may be repeated."""
        ...


def checked(schema: Schema, handler: Handler) -> dict[str, Callable[..., Any] | bool]:
    """`handler` in the shape of ministack's table, refusing what the provider schema refuses."""

    def check(logical_id: str, properties: Mapping[str, Any]) -> None:
        if problems := schema.problems(properties):
            listed = "\n".join(problems)
            raise ValueError(f"Properties validation failed for resource {logical_id} with message:\n{listed}")

    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        check(logical_id, properties)
        return handler.create(logical_id, properties, stack)

    def update(physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
        if schema.replaces(old, new):  # the engine deletes the predecessor after the whole update succeeded
            replaced: Created = provisioners._seeded_create(create, logical_id, new, stack)
            return replaced
        check(logical_id, new)
        return handler.update(physical_id, old, new)

    return {"create": create, "update": update, "update_with_logical_id": True, "delete": handler.delete}


def camel(value: Any) -> Any:
    """A template's names as most APIs write them: with a small first letter."""
    if isinstance(value, Mapping):
        return {small(key): camel(item) for key, item in value.items()}
    if isinstance(value, list):
        return [camel(item) for item in value]
    return value


def small(name: str) -> str:
    """A name with a small first letter."""
    return name[:1].lower() + name[1:]
