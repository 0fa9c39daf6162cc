"""Editor schemas describe deltas: same keys as the model, none required."""

from __future__ import annotations

import json

from paceline.spec.base import Record
from paceline.spec.json_schema import editor_schema


class Inner(Record):
    required: int  # a field of this name must survive


class Outer(Record):
    inner: Inner
    items: tuple[Inner, ...] = ()


def test_nothing_is_required_and_unknown_keys_are_refused() -> None:
    schema = json.loads(editor_schema(Outer))

    assert "required" not in schema
    assert schema["$defs"]["Inner"] == {
        "additionalProperties": False,
        "properties": {"required": {"title": "Required", "type": "integer"}},
        "title": "Inner",
        "type": "object",
    }


def test_properties_that_only_files_have_come_first() -> None:
    schema = json.loads(editor_schema(Outer, more={"base": {"type": "string"}}))

    assert list(schema["properties"]) == ["base", "inner", "items"]
