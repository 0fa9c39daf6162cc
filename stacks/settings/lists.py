"""Lists in which nothing stands twice: a repetition is a slip, and CloudFormation would be asked for the same twice."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

Item = TypeVar("Item")


class _EachOnce:
    """Refuses repetitions, and says so in the JSON schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(_each_once, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) | {"uniqueItems": True}


def _each_once(values: tuple[Item, ...]) -> tuple[Item, ...]:
    if twice := [value for index, value in enumerate(values) if value in values[:index]]:
        raise ValueError(f"{', '.join(map(str, dict.fromkeys(twice)))} stands there twice ## delete one")
    return values


Distinct = Annotated[tuple[Item, ...], _EachOnce()]
