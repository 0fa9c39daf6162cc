"""YAML files that know where every value came from, and strict validation that says so.

A `Document` is plain data plus the origin (file and line) of each key. Documents are laid over each other (platform
under team, base recipe under delta, command line on top); `validate` then checks the result against a pydantic model
and reports every problem at once, each with its file, line, path, reason and nearest legal name.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from paceline.spec.errors import PacelineError, Problem

Path_ = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a value was written. `line` is 0 for values that did not come from a file."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(frozen=True, kw_only=True)
class Document:
    """Nested plain data and the origin of each path in it; the path () is the document itself."""

    data: dict[str, Any]
    origins: dict[Path_, Origin] = field(default_factory=dict)

    def origin(self, path: Path_) -> Origin:
        """The origin of `path`, or of the nearest enclosing path that has one."""
        while path and path not in self.origins:
            path = path[:-1]
        return self.origins.get(path, Origin(source="defaults"))

    def over(self, base: Document) -> Document:
        """This document laid over `base`: mappings merge, everything else replaces."""
        origins = {p: o for p, o in base.origins.items() if not _replaced(p, base.data, self.data)}
        return Document(data=_merge(base.data, self.data), origins=origins | self.origins)


def read(path: Path, error: type[PacelineError], *, name: str | None = None) -> Document:
    """Parse one YAML file whose top level is a mapping. `name` is how messages call the file."""
    source = name or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise error(f"{source}: cannot be read: {cause}", "check the path and its permissions") from cause
    return parse(text, source, error)


def parse(text: str, source: str, error: type[PacelineError]) -> Document:
    """Parse YAML text; duplicate keys and anything but a mapping at the top are refused."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as cause:
        line = mark.line + 1 if (mark := getattr(cause, "problem_mark", None)) else 1
        reason = getattr(cause, "problem", None) or "not valid YAML"
        raise error(f"{source}:{line}: {reason}", "check indentation, quotes and colons near this line") from cause
    if node is None:
        return Document(data={}, origins={(): Origin(source=source, line=1)})
    if not isinstance(data, dict):
        raise error(f"{source}:1: the top level must be a mapping of keys to values", "write `key: value` lines")
    origins: dict[Path_, Origin] = {}
    problems: list[Problem] = []
    _locate(node, (), source, origins, problems)
    if problems:
        raise error.of(problems)
    return Document(data=data, origins=origins)


def override(path: str, value: str, source: str, error: type[PacelineError]) -> Document:
    """A document with the single value `a.b.c` = YAML scalar or flow value, as `--set a.b.c=1` gives it."""
    keys = path.split(".")
    if not all(keys):
        raise error(f"{source} {path}={value}: the path is empty or has an empty part", "write --set section.key=value")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as cause:
        raise error(f"{source} {path}={value}: the value is not valid YAML", "quote the value") from cause
    data: Any = parsed
    for key in reversed(keys):
        data = {key: data}
    origin = Origin(source=f"{source} {path}")
    return Document(data=data, origins={tuple(keys[:depth]): origin for depth in range(1, len(keys) + 1)})


def validate(model: type[Model], document: Document, error: type[PacelineError]) -> Model:
    """`model` made from `document`, or one `error` that holds every problem found."""
    try:
        return model.model_validate(document.data)
    except ValidationError as cause:
        problems = [_problem(model, document, item) for item in cause.errors(include_url=False)]
        hints = {problem.hint for problem in problems}
        # a misspelt key also makes the right one missing: say it once
        problems = [p for p in problems if f"did you mean `{p.missing}`?" not in hints]
        raise error.of(problems) from cause


def nearest(word: str, candidates: list[str]) -> str:
    """` did you mean` for a word nobody knows, or the list of what there is."""
    if close := difflib.get_close_matches(word, candidates, n=1, cutoff=0.6):
        return f"did you mean `{close[0]}`?"
    return f"there is: {', '.join(sorted(candidates))}"


def _merge(base: Any, over: Any) -> Any:
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return {**base, **{key: _merge(base[key], over[key]) if key in base else over[key] for key in over}}
    return over


def _replaced(path: Path_, base: Any, over: Any) -> bool:
    for key in path:
        if not (isinstance(base, Mapping) and isinstance(over, Mapping)):
            return True
        if key not in over:
            return False
        base, over = base[key], over[key]
    return False


def _locate(node: yaml.Node, path: Path_, source: str, origins: dict[Path_, Origin], problems: list[Problem]) -> None:
    origins.setdefault(path, Origin(source=source, line=node.start_mark.line + 1))
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            where = (*path, key)
            if key in seen:
                message = f"{source}:{line}: {dotted(where)}: written twice"
                problems.append(Problem(message=message, hint="remove one of the two lines"))
            seen.add(key)
            origins[where] = Origin(source=source, line=line)
            _locate(value_node, where, source, origins, problems)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _locate(item, (*path, index), source, origins, problems)


def dotted(path: Path_) -> str:
    """`pools.0.instance_type`."""
    return ".".join(str(part) for part in path)


def _problem(model: type[BaseModel], document: Document, item: Any) -> Problem:
    path: Path_ = tuple(part for part in item["loc"])
    kind, reason = item["type"], item["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    where = _in_document(path, document)
    prefix = f"{document.origin(where)}: {dotted(where)}" if where else str(document.origin(where))
    if kind == "extra_forbidden":
        names = _fields_at(model, path[:-1])
        return Problem(message=f"{prefix}: unknown field", hint=nearest(str(path[-1]), names) if names else None)
    if kind == "missing":
        name = str(path[-1])
        return Problem(message=f"{prefix}: required, but not given", hint=f"add `{name}:`", missing=name)
    reason, _, hint = reason.partition(" ## ")
    given = item.get("input")
    shown = f" (got {given!r})" if isinstance(given, (str, int, float, bool)) and not hint else ""
    return Problem(message=f"{prefix}: {reason}{shown}", hint=hint or _meaning(model, where))


def _meaning(model: type[BaseModel], path: Path_) -> str | None:
    """What the innermost described field on `path` means: the cure for a value that its type refuses."""
    for end in range(len(path), 0, -1):
        for candidate in _models_at(model, path[: end - 1]):
            field = candidate.model_fields.get(str(path[end - 1]))
            if field and field.description:
                return f"`{path[end - 1]}`: {field.description}"
            if field and end == len(path) and (held := _models(field.annotation)):
                return f"`{path[end - 1]}` holds: {', '.join(sorted({name for m in held for name in m.model_fields}))}"
    return None


def _in_document(path: Path_, document: Document) -> Path_:
    """Pydantic puts the names of union members into its locations; keep only what the document has (and the leaf)."""
    kept: list[str | int] = []
    data: Any = document.data
    for position, part in enumerate(path):
        last = position == len(path) - 1
        if _holds(data, part):
            kept.append(part)
            data = data[part]
        elif last and isinstance(data, Mapping):
            kept.append(part)
    return tuple(kept)


def _holds(data: Any, part: str | int) -> bool:
    if isinstance(data, Mapping):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _fields_at(model: Any, path: Path_) -> list[str]:
    """The field names that are legal at `path` of `model`."""
    return sorted({alias for m in _models_at(model, path) for alias in m.model_fields})


def _models_at(model: Any, path: Path_) -> list[type[BaseModel]]:
    """The models that may stand at `path` of `model`, looking through optionals, lists, dicts and unions."""
    models = _models(model)
    for part in path:
        found: list[type[BaseModel]] = []
        for candidate in models:
            if isinstance(part, str) and part in candidate.model_fields:
                found += _models(candidate.model_fields[part].annotation)
        if found:
            models = found
        elif named := [m for m in models if m.__name__ == part or part in _tags(m)]:
            models = named
    return models


def _tags(model: type[BaseModel]) -> set[Any]:
    return {value for f in model.model_fields.values() for value in get_args(f.annotation) if isinstance(value, str)}


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for argument in get_args(annotation) for m in _models(argument)]
