"""`cuda==13.*`, `torch>=2.9,<2.16`, `nccl`: what is asked of a version, for versions of every maker.

Drivers, Debian packages and Neuron's wheels do not follow Python's rules (`2.32.31.0-0234f5ed2`), so versions are
compared by their leading numbers, and a shorter one counts as followed by zeros.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_NUMBERS = re.compile(r"\d+(\.\d+)*")
_REQUIREMENT = re.compile(r"^(?P<name>[a-z][\w-]*)(?P<clauses>(?:[<>=]=?[^,<>=]+)(?:,[<>=]=?[^,<>=]+)*)?$")
_CLAUSE = re.compile(r"^(==|>=|<)(\d+(?:\.\d+)*)(\.\*)?$")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {"==": operator.eq, ">=": operator.ge, "<": operator.lt}


@dataclass(frozen=True, slots=True)
class Requirement:
    """A name and what its version must be; no clause: that it is there."""

    text: str
    name: str
    clauses: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """ValueError if it is not of the form."""
        found = _REQUIREMENT.match(text)
        parts = found["clauses"].split(",") if found and found["clauses"] else []
        clauses = [_CLAUSE.match(part) for part in parts]
        if not found or not all(clauses) or any(c and c[3] and c[1] != "==" for c in clauses):
            raise ValueError(
                "not a requirement ## write a name, then ==1.2, ==1.2.*, >=1.2 or <1.2, several with commas"
            )
        return cls(text, found["name"], tuple((c[1], c[2] + (c[3] or "")) for c in clauses if c))

    def holds(self, version: str) -> bool:
        """Whether `version` is what is asked."""
        return all(_satisfies(version, compare, wanted) for compare, wanted in self.clauses)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.to_string_ser_schema()
        return core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema(), serialization=text)

    def __str__(self) -> str:
        return self.text


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers: (2, 32, 31, 0) of `2.32.31.0-0234f5ed2`; none of what does not begin with one."""
    found = _NUMBERS.match(version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _satisfies(version: str, compare: str, wanted: str) -> bool:
    have, want = numbers(version), numbers(wanted)
    if wanted.endswith(".*"):
        return have[: len(want)] == want
    pairs = list(zip_longest(have, want, fillvalue=0))
    return bool(have) and _COMPARE[compare]([h for h, _ in pairs], [w for _, w in pairs])
