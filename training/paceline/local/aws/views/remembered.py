"""Reading operations that follow one rule: what a resource is called, and what the template said of it.

An answer is the resource's attributes and properties under the names of the template, in the case of the service, plus
the `fields` of `remembered.yaml`. SDKs skip what their models do not know.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from paceline.local.aws.handler import camel
from paceline.local.aws.store import Resource, Store
from paceline.local.aws.views import service
from paceline.local.aws.views.service import Operation, Request, ServiceError
from paceline.spec.base import Record

FILE = Path(__file__).parent / "remembered.yaml"

_PAGING = re.compile(r"(max-?results|next-?token|sort(by|order))", re.IGNORECASE)
_WHOLE = re.compile(r"\{(\w+)((?:\[\w+\])*)\}")


class Within(Record):
    """The request names a parent; `property` of the template refers to it."""

    parameter: str
    type: str
    property: str


class Reading(Record):
    """One operation: a `list` of resources under that key, or the one that the parameter `by` names under `show`.

    With an empty `show` the resource is the answer itself. `needs` is a property without which there is nothing.
    """

    type: str
    list: str | None = None
    show: str | None = None
    by: str | None = None
    within: Within | None = None
    needs: str | None = None
    fields: dict[str, Any] | None = None


class Service(Record):
    """One service, by the name that requests are signed for; the file explains the placeholders of `fields`."""

    case: Literal["camel", "pascal"]
    missing: str
    fields: dict[str, dict[str, Any]]
    operations: dict[str, Reading]


def services() -> Mapping[str, Service]:
    """What the file says."""
    return {name: Service(**given) for name, given in yaml.safe_load(FILE.read_text(encoding="utf-8")).items()}


def install(store: Store, more: Mapping[str, Mapping[str, Operation]]) -> None:
    """Answer for the resources in `store`; `more` are operations by service that need a rule of their own."""
    for name, given in services().items():
        readings = {operation: _operation(store, given, reading) for operation, reading in given.operations.items()}
        service.install(name, readings | dict(more.get(name, {})))


def named(store: Store, type_name: str, name: str) -> Resource | None:
    """The resource of a type that goes by `name`: its identifier, its ARN or whatever else `Ref` gives, its name."""
    for resource in store.all(type_name):
        names = {resource.id, resource.physical_id, *map(str, resource.attributes.values())}
        names |= {str(value) for key, value in resource.properties.items() if key in ("Name", "ClusterName")}
        if name in names:
            return resource
    return None


def described(resource: Resource, given: Service, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The answer's record of one resource."""
    record: dict[str, Any] = resource.properties | resource.attributes
    if isinstance(tags := record.get("Tags"), list) and given.case == "camel":
        record["Tags"] = {tag["Key"]: tag["Value"] for tag in tags}
    if given.case == "camel":
        tags = record.pop("Tags", {})
        record = camel(record) | {"tags": tags}
    facts = {
        "id": resource.id,
        "created": resource.created,
        "properties": resource.properties,
        "json": {k: json.dumps(v) for k, v in resource.properties.items() if isinstance(v, Mapping)},
        "base64": {k: base64.b64encode(v.encode()).decode() for k, v in resource.properties.items() if type(v) is str},
    }
    filled = ((name, _filled(form, facts)) for name, form in extra.items())
    return record | {name: value for name, value in filled if value is not None}


def _operation(store: Store, given: Service, reading: Reading) -> Callable[[Request], dict[str, Any]]:
    extra = given.fields.get(reading.type, {}) if reading.fields is None else reading.fields

    def candidates(request: Request) -> Iterator[Resource]:
        parents: set[str] = set()
        if within := reading.within:
            parent = named(store, within.type, str(request[within.parameter]))
            if parent is None:
                raise ServiceError(given.missing, f"{request[within.parameter]} does not exist")
            parents = {parent.id, parent.physical_id}
        for resource in store.all(reading.type):
            belongs = not reading.within or str(resource.properties.get(reading.within.property)) in parents
            if belongs and (reading.needs is None or reading.needs in resource.properties):
                yield resource

    def every(request: Request) -> dict[str, Any]:
        assert reading.list is not None
        ours = {reading.within.parameter} if reading.within else set()
        conditions = {key: value for key, value in request.items() if key not in ours and not _PAGING.fullmatch(key)}
        records = [described(resource, given, extra) for resource in candidates(request)]
        for key in conditions:
            if any(key not in record for record in records):
                raise ServiceError("ValidationException", f"the embedded AWS cannot list by {key}")
        return {reading.list: [r for r in records if all(r[key] == value for key, value in conditions.items())]}

    def one(request: Request) -> dict[str, Any]:
        wanted = str(request[reading.by or ""])
        asked = named(store, reading.type, wanted)
        for resource in candidates(request):
            if asked is not None and resource.physical_id == asked.physical_id:
                record = described(resource, given, extra)
                return {reading.show: record} if reading.show else record
        raise ServiceError(given.missing, f"{wanted} does not exist")

    return every if reading.list is not None else one


def _filled(form: Any, facts: Mapping[str, Any]) -> Any:
    """`form` with its placeholders filled in; None where the template does not give the value."""
    if isinstance(form, Mapping):
        filled = {name: _filled(item, facts) for name, item in form.items()}
        return filled if None not in filled.values() else None
    if not isinstance(form, str) or not (match := _WHOLE.fullmatch(form)):
        return form
    value: Any = facts[match[1]]
    for key in re.findall(r"\w+", match[2]):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
