"""The schema that editors use is the one the models have, and every field says what its change does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from stacks import schema
from stacks.settings import Parameters


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The leaves of `model`."""
    for name, field in model.model_fields.items():
        sections = list(models(field.annotation))
        for section in sections:
            yield from fields(section, f"{prefix}{name}.")
        if not sections:
            yield prefix + name, field


def models(annotation: object) -> Iterator[type[BaseModel]]:
    """The models inside optionals, unions, lists and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models(argument)


def test_the_committed_schema_is_fresh() -> None:
    assert schema.SCHEMA.read_text(encoding="utf-8") == schema.render(), "run `python -m stacks.schema`"


def test_a_stale_schema_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "SCHEMA", tmp_path / "schema.json")
    assert schema.main(["--check"]) == 1
    assert schema.main([]) == 0
    assert schema.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("name", "field"), list(fields(Parameters)), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_field_is_described(name: str, field: FieldInfo) -> None:
    assert field.description
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    assert extra["update"] in ("live", "drain", "replace", "never")


def test_every_list_refuses_repetitions() -> None:
    def lists(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(node, dict):
            if node.get("type") == "array":
                yield path, node
            for key, part in node.items():
                yield from lists(part, f"{path}.{key}")

    found = dict(lists(Parameters.model_json_schema()))
    assert found
    assert [path for path, node in found.items() if not node.get("uniqueItems")] == []
