"""Resource types that are remembered and nothing more: FSx, PCS, SageMaker HyperPod, Prometheus, Grafana, reservations.

Their identifiers and read-only properties come from `types.yaml`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ministack.core.responses import get_account_id, get_region, now_epoch, now_iso
from ministack.services.cloudformation.provisioners import _physical_name

from paceline.local.aws.handler import Created, Properties
from paceline.local.aws.schemas import Schema
from paceline.local.aws.store import Resource, Store
from paceline.spec.base import Record

FILE = Path(__file__).parent / "types.yaml"


class Form(Record):
    """What one type's identifier and read-only properties look like; the placeholders are explained in the file."""

    id: str
    name: str | None = None
    unique: str | None = None
    ref: str | None = None
    attributes: dict[str, str]


@cache
def forms() -> Mapping[str, Form]:
    """The types that are only remembered, by name."""
    return {name: Form(**form) for name, form in yaml.safe_load(FILE.read_text(encoding="utf-8")).items()}


class StateOnly:
    """Remembers what a template said; see `paceline.local.aws.handler.Handler`."""

    def __init__(self, schema: Schema, form: Form, store: Store) -> None:
        self._schema = schema
        self._form = form
        self._store = store

    def create(self, logical_id: str, properties: Properties, stack: str) -> Created:
        if self._form.name and self._form.name not in properties:
            properties = {**properties, self._form.name: _physical_name(stack, logical_id, max_len=63)}
        self._refuse_taken_name(properties)
        own_id, attributes = self._filled_in(properties)
        identifier = self._form.ref or self._schema.primary_identifier[0]
        physical_id = str({**properties, **attributes}[identifier])
        if self._store.get(self._schema.type_name, physical_id):
            raise ValueError(f"{physical_id} already exists")
        self._remember(physical_id, own_id, properties, attributes, now_epoch())
        return physical_id, dict(attributes)

    def update(self, physical_id: str, old: Properties, new: Properties) -> Created:
        known = self._store.get(self._schema.type_name, physical_id)
        if known is None:
            raise ValueError(
                f"Resource of type '{self._schema.type_name}' with identifier '{physical_id}' was not found."
            )
        if self._form.name:
            new = {self._form.name: known.properties[self._form.name], **new}
        self._remember(physical_id, known.id, new, known.attributes, known.created)
        return physical_id, dict(known.attributes)

    def delete(self, physical_id: str, properties: Properties) -> None:
        self._store.remove(self._schema.type_name, physical_id)

    def _refuse_taken_name(self, properties: Properties) -> None:
        """A replacement is made before its predecessor is deleted, and cannot have the same name."""
        if (name := self._form.name) is None:
            return
        keys = [name, self._form.unique] if self._form.unique else [name]
        for resource in self._store.all(self._schema.type_name):
            if all(resource.properties.get(key) == properties.get(key) for key in keys):
                what = f"Resource of type '{self._schema.type_name}' with identifier '{properties[name]}'"
                raise ValueError(f"{what} already exists.")

    def _filled_in(self, properties: Properties) -> tuple[str, dict[str, str]]:
        facts: dict[str, Any] = {
            "account": get_account_id(),
            "region": get_region(),
            "now": now_iso(),
            "properties": properties,
            "last": {key: str(value).rsplit("/", 1)[-1] for key, value in properties.items()},
            "hex8": secrets.token_hex(4),
            "hex10": secrets.token_hex(5),
            "hex12": secrets.token_hex(6),
            "hex17": secrets.token_hex(9)[:17],
        }
        facts["id"] = self._form.id.format_map(facts)
        return facts["id"], {name: form.format_map(facts) for name, form in self._form.attributes.items()}

    def _remember(
        self, physical_id: str, own_id: str, properties: Properties, attributes: dict[str, str], created: float
    ) -> None:
        resource = Resource(
            type_name=self._schema.type_name,
            physical_id=physical_id,
            id=own_id,
            properties=properties,
            attributes=attributes,
            created=created,
        )
        self._store.put(resource)
