"""All checks. A new one is one file in checks/: the one Check that it defines, named after the file."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from paceline.catalog.checks import found_percent
from paceline.health import checks
from paceline.health.base import Check, Node
from paceline.spec.documents import nearest
from paceline.spec.errors import ParameterError
from paceline.spec.health import Stage


@cache
def check_types() -> dict[str, type[Check]]:
    """Every check by name, in the order of the names."""
    found: dict[str, type[Check]] = {}
    for info in pkgutil.iter_modules(checks.__path__):
        module = importlib.import_module(f"{checks.__name__}.{info.name}")
        [kind] = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, Check) and value.__module__ == module.__name__
        ]
        found[kind.name()] = kind
    return found


def check_type(name: str) -> type[Check]:
    """The check called `name`; ParameterError, with the nearest name, when there is none."""
    known = check_types()
    if name not in known:
        raise ParameterError(f"{name}: not a health check", nearest(name, list(known)))
    return known[name]


def plan(stage: Stage, node: Node) -> list[Check]:
    """The checks of `stage` that make sense on `node`, those first that find the most per minute."""
    wanted = [kind() for kind in check_types().values() if stage in kind.stages]
    return sorted((check for check in wanted if check.applies(node)), key=_worth)


def _worth(check: Check) -> tuple[float, float]:
    # what nobody has measured comes after what is known to find something, the quick ones first
    return -(found_percent(check.name()) or 0.0) / check.cost, check.cost
