"""Every rule refuses the fault that it exists for, at its line, with its path, its reason and its cure.

A file of `faults/` holds the rules of a room, a row each:

rule     what is forbidden, unique among all files
team     the shipped team that the fault is planted in; sandbox when not given
change   dotted path to the wrong value; a number in the path is a place in a list
remove   dotted paths of keys to leave out
beside   other shipped teams that the rule looks at
path     where the problem must be reported
message  a part of what must be said
cure     a part of the hint
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import Field

from paceline.spec.base import Record
from paceline.spec.errors import ParameterError, Problem
from stacks.teams import PLATFORM, read_teams

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "stacks" / "parameters"
ROOMS = sorted((Path(__file__).parent / "faults").glob("*.yaml"))


class Fault(Record):
    rule: str
    team: str = "sandbox"
    change: dict[str, Any] = Field(default_factory=dict)
    remove: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    path: str
    message: str
    cure: str


FAULTS = [
    pytest.param(Fault(**row), id=f"{room.stem}: {row['rule']}")
    for room in ROOMS
    for row in yaml.safe_load(room.read_text(encoding="utf-8"))
]


def put(data: Any, keys: list[str], value: Any) -> None:
    """Set the value at a path, making the mappings on the way."""
    for key in keys[:-1]:
        data = data[int(key)] if isinstance(data, list) else data.setdefault(key, {})
    if isinstance(data, list):
        data[int(keys[-1])] = value
    else:
        data[keys[-1]] = value


def drop(data: Any, keys: list[str]) -> None:
    for key in keys[:-1]:
        data = data[int(key)] if isinstance(data, list) else data[key]
    del data[int(keys[-1]) if isinstance(data, list) else keys[-1]]


def plant(fault: Fault, root: Path) -> Path:
    """The parameters of the team with the fault, below `root`; the team's file."""
    directory = root / "stacks" / "parameters"
    directory.mkdir(parents=True)
    for name in (PLATFORM, *fault.beside):
        shutil.copy(SHIPPED / f"{name}.yaml", directory)
    data = yaml.safe_load((SHIPPED / f"{fault.team}.yaml").read_text(encoding="utf-8"))
    for path, value in fault.change.items():
        put(data, path.split("."), value)
    for path in fault.remove:
        drop(data, path.split("."))
    file = directory / f"{fault.team}.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False, width=1000), encoding="utf-8")
    return file


@pytest.fixture
def shipped_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def problems(fault: Fault) -> list[Problem]:
        with pytest.raises(ParameterError) as caught:
            read_teams(plant(fault, tmp_path).parent)
        return list(caught.value.problems)

    return problems


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_refused(fault: Fault, shipped_problems: Any, tmp_path: Path) -> None:
    said = [(problem.message, problem.hint or "") for problem in shipped_problems(fault)]
    place = re.compile(rf"stacks/parameters/{fault.team}\.yaml:(?P<line>\d+): (?P<path>\S+): (?P<reason>.*)", re.DOTALL)
    found = [(match, hint) for message, hint in said if (match := place.match(message)) and match["path"] == fault.path]
    found = [(match, hint) for match, hint in found if fault.message in match["reason"]]
    assert len(found) == 1, said
    match, hint = found[0]
    assert fault.cure in hint
    lines = (tmp_path / "stacks" / "parameters" / f"{fault.team}.yaml").read_text(encoding="utf-8").splitlines()
    assert _names_part_of(lines[int(match["line"]) - 1], fault.path)


def _names_part_of(line: str, path: str) -> bool:
    """Whether a line is that of the path's last key, or of what would hold it."""
    key = line.strip().removeprefix("- ").split(":")[0].strip("'\"")
    parts = path.split(".")
    return key in parts or any(part.isdigit() for part in parts)


def test_every_rule_is_planted_once() -> None:
    rules = [fault.values[0].rule for fault in FAULTS]
    assert len(rules) == len(set(rules))
    faults = [fault.values[0] for fault in FAULTS]
    assert len({(f.team, f.path, f.message) for f in faults}) == len(faults), "two rows for one rule"


def test_the_teams_are_right_without_a_fault() -> None:
    assert read_teams(SHIPPED)
