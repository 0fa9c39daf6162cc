"""The schema that editors use is the one the models have, and every field says what its change does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from stacks import schema
from stacks.settings import Parameters


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The leaves of `model`."""
    for name, field in model.model_fields.items():
        nested = [t for t in (field.annotation, *get_args(field.annotation)) if isinstance(t, type)]
        sections = [t for t in nested if issubclass(t, BaseModel)]
        if sections:
            yield from fields(sections[0], f"{prefix}{name}.")
        else:
            yield prefix + name, field


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
