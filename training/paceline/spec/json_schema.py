"""JSON schemas for the YAML files that people write, so that their editors complete and check them.

A schema is generated from the pydantic model that the file is validated against, committed beside the files, and
compared in the tests. Files are deltas (over a base, over platform-wide values), so no key is required here: whether
the whole is complete is known only after they are laid over each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def editor_schema(model: type[BaseModel], *, more: Mapping[str, Any] | None = None) -> str:
    """The schema of a delta of `model` as JSON text. `more` are properties that only files have."""
    schema = _without_required(model.model_json_schema())
    schema["properties"] = {**(more or {}), **schema["properties"]}
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


def _without_required(node: Any) -> Any:
    if isinstance(node, dict):
        # a field may be called `required` too; then it is a mapping, and stays
        kept = {key: value for key, value in node.items() if not (key == "required" and isinstance(value, list))}
        return {key: _without_required(value) for key, value in kept.items()}
    return [_without_required(item) for item in node] if isinstance(node, list) else node
