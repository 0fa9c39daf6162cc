"""All classes of faults. A new one is one file in faults/: the one FaultClass that it defines, named after the file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache

from paceline.chaos import faults
from paceline.chaos.base import FaultClass
from paceline.spec.documents import nearest
from paceline.spec.errors import ParameterError, Problem


@cache
def fault_classes() -> dict[str, FaultClass]:
    """Every class by name, in the order of the names."""
    found: dict[str, FaultClass] = {}
    for info in pkgutil.iter_modules(faults.__path__):
        module = importlib.import_module(f"{faults.__name__}.{info.name}")
        [kind] = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, FaultClass) and value.__module__ == module.__name__
        ]
        found[kind.name()] = kind()
    return found


def chosen(names: Sequence[str]) -> list[FaultClass]:
    """The classes called `names`, all of them if there are none; ParameterError names all that do not exist."""
    known = fault_classes()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ParameterError.of(
            [Problem(message=f"{name}: not a class of faults", hint=nearest(name, list(known))) for name in unknown]
        )
    return [known[name] for name in dict.fromkeys(names)] or list(known.values())
